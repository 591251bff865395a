/* SPDX-License-Identifier: Apache-2.0 */
/* log_source.h - the bytes that answer a request for logs, piece by piece.
 *
 * Plain output is copied as it is. Where lines matter (grep, control sequences taken out, one
 * object a line) it goes through a line reader. `head`, `tail` and `limit` count what comes out of
 * that: it is gone through once to count and once to give. */
#pragma once
#include "api/lines.h"
#include "api/log_query.h"

struct log_source {
	const struct log_query *q;
	struct session *session;
	bool by_line;
	struct line_reader reader; /* its page is the place, by line or not */
	struct buffer out;         /* a line that waits for room */
	uint64_t lines_left;       /* of head */
	uint64_t first;            /* bytes before the gap; UINT64_MAX: no gap */
	uint64_t omitted;          /* bytes in the gap */
	uint64_t given;            /* bytes given so far */
	bool after_gap;
};

void log_source_init(struct log_source *src, struct session *s, const struct log_query *q);
void log_source_done(struct log_source *src);

/* Fills up to `max` bytes; 0 when there are none now. `*ret_end`: there never will be more. */
size_t log_source_next(struct log_source *src, char *to, size_t max, bool *ret_end);

/* Whether something could be given now. */
bool log_source_has_news(const struct log_source *src);
