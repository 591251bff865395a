/* SPDX-License-Identifier: Apache-2.0 */
/* line_source.h - the output of one session, line by line, across engines.
 *
 * When the daemon's engine is replaced in the middle, or we could not keep up, the source asks
 * again and leaves out the lines that it has given: none is missing that is still kept, none comes
 * twice. */
#pragma once
#include "cli/logs.h"
#include "core/frame.h"

struct source_line {
	enum frame_stream stream;
	uint64_t offset;
	char time[40]; /* RFC 3339, always as long: can be compared as text */
	char *bytes;   /* without the line end; owned by the source */
	size_t size;
	bool partial; /* without a line end: the next line of the stream may go on there */
};

struct line_source {
	struct cli *cli;
	const char *id; /* borrowed */
	const struct logs_values *v;
	char name[80];
	struct http_client *http; /* in the middle of the answer */
	struct buffer text;       /* of the answer, */
	size_t at;                /* read up to here */
	bool over;                /* no more lines come */
	bool pending;             /* `line` waits to be taken */
	struct source_line line;
	/* What was given: on which line it began, and where each stream goes on. */
	bool begun, skipping;
	enum frame_stream first_stream;
	uint64_t first_offset;
	struct {
		bool known;
		uint64_t next;
	} streams[N_FRAME_STREAMS];
};

/* Asks for the lines. `id` and `v` must live as long as the source. */
int line_source_open(struct line_source *s, struct cli *cli, const char *id,
		     const struct logs_values *v, struct error *e);
void line_source_done(struct line_source *s);

/* Reads until a line is pending or the source is over: returns 0. Without `wait`, 1 when neither
 * can be yet. */
int line_source_fill(struct line_source *s, bool wait, struct error *e);

/* Counts the pending line as given; the next one may be pending then. */
int line_source_take(struct line_source *s, struct error *e);
