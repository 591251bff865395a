/* SPDX-License-Identifier: Apache-2.0 */
/* logs.h - what `logs` was asked for. */
#pragma once
#include "cli/targets.h"

struct logs_values {
	bool follow, times, exit_code;
	const char *lines, *since, *stream, *grep, *from;
	struct selection which;
};

/* Appends the target of a request for the output of `id` in `format`. */
int logs_target(struct buffer *b, const struct logs_values *v, const char *id, const char *format,
		bool follow);

/* Says on stderr which bytes at the beginning of the streams are no longer kept. */
void logs_tell_lost(const json_t *session, const struct logs_values *v);

/* The bytes of a page or a line, given as `text` or, when they are not UTF-8, as `base64`. `*ret`
 * is the caller's. */
int logs_content(const json_t *object, char **ret, size_t *ret_size);

/* Prints the output of all sessions as lines in the order of their times, of several each with the
 * session's name before it. Returns the exit status. */
int logs_merge(struct cli *cli, const struct targets *t, const struct logs_values *v);
