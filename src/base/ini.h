/* SPDX-License-Identifier: Apache-2.0 */
/* ini.h - text of the form
 *
 *	# a comment; so is a line that begins with ';'
 *	[section]
 *	key = value
 *
 * White space around section, key and value does not count. A value goes on to the end of its line.
 * Names consist of letters, digits, '-' and '_'. */
#pragma once
#include "base/error.h"

#define INI_LINE_MAX 1024U

/* Gets one value. Returns 0, or refuses it: negative, with the reason in `e`. */
typedef int (*ini_value_fn)(const char *section, const char *key, const char *value, void *data,
			    struct error *e);

/* Gets what is wrong with one line; lines count from 1. */
typedef void (*ini_wrong_fn)(unsigned line, const char *why, void *data);

/* Goes through `text` (of `n` bytes, may hold NUL), changing nothing of it. A line that is wrong,
 * or whose value is refused, is given to `wrong` and passed over. A value behind a section that is
 * wrong is passed over, too. */
void ini_parse(const char *text, size_t n, ini_value_fn value, ini_wrong_fn wrong, void *data);
