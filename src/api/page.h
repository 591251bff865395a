/* SPDX-License-Identifier: Apache-2.0 */
/* page.h - walks a session's output in the order in which it was captured.
 *
 * The index says which bytes of which stream came when; a page follows it, and goes on with what is
 * captured later. Costs a few words; bytes that are overwritten before they are read are counted.
 */
#pragma once
#include "engine/session.h"

struct page {
	struct session *session;
	bool want[STREAMS_MAX];
	uint64_t at[STREAMS_MAX]; /* the next byte of each stream */
	uint64_t record;          /* the next index record */
	uint64_t since;           /* realtime us; older records are skipped. 0: none */
	uint64_t last;            /* records from this one on are not read; UINT64_MAX: all are */
	uint64_t dropped;         /* bytes that were overwritten before they were read */
	/* The piece under way: [at[stream], end) of `stream`. */
	unsigned stream;
	uint64_t end;
	uint64_t when;
};

/* From the oldest retained bytes on. */
void page_init(struct page *p, struct session *s, const bool want[STREAMS_MAX]);

/* Views the next bytes, one or two pieces of one stream, at most `max`. 0 when there are none now.
 */
size_t page_peek(struct page *p, size_t max, struct iovec view[2], int *ret_pieces);
void page_advance(struct page *p, size_t n);

/* All wanted streams have ended and are read. */
bool page_over(const struct page *p);

/* The same once everything that is captured now will have been read. */
bool page_at_end(const struct page *p);

/* Skips `n` line ends. */
void page_skip_lines(struct page *p, uint64_t n);
