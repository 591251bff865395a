/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - a page's output as lines, in the order in which they began, each with its time.
 *
 * A line longer than LINE_BYTES_MAX comes in pieces. Control sequences are taken out, and lines
 * that do not match are left out, where that is wanted. */
#pragma once
#include "api/ansi.h"
#include "api/page.h"
#include "base/buffer.h"
#include "engine/pattern.h"

#define LINE_BYTES_MAX 65536U

struct line {
	unsigned stream;
	uint64_t offset;  /* of its first byte */
	uint64_t when;    /* realtime us of the step that brought it */
	const char *data; /* with its line end, when it has one; valid until the next call */
	size_t size;
	bool whole; /* ends with a line end */
};

struct line_reader {
	struct page page;
	bool strip;
	const struct pattern *grep; /* borrowed; NULL: all lines */
	struct {
		struct buffer bytes;
		uint64_t offset, when;
		enum ansi_state state;
		bool given; /* `bytes` was the line that was given last */
	} streams[STREAMS_MAX];
};

void lines_init(struct line_reader *r, const struct page *page);
void lines_done(struct line_reader *r);

/* The next line. False when there is none now. `last`: a line that has no end yet counts too. */
bool lines_next(struct line_reader *r, bool last, struct line *ret);
