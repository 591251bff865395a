/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - what the user's configuration file says; read when an engine starts.
 *
 *	[sessions]
 *	keep-for = 7d           # an ended session is kept for so long,
 *	keep-count = 1000       # and so many of them, the oldest go first,
 *	keep-at-least = 10m     # but none goes before this
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct settings {
	uint64_t keep_for_ms, keep_at_least_ms;
	uint64_t keep_count;
};

extern const struct settings settings_default;

/* Takes over what `text`, the content of `path`, says; `*ret` keeps what it does not mention. What
 * is wrong is logged with file and line. Returns how many lines that was. */
unsigned settings_read(struct settings *ret, const char *path, const char *text, size_t n);

/* The same with the user's file. One that is not there says nothing; one that cannot be read is
 * logged. */
void settings_load(struct settings *ret);
