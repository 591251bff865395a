/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lines.h"
#include <string.h>

void lines_init(struct line_reader *r, const struct page *page)
{
	memset(r, 0, sizeof(*r));
	r->page = *page;
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		buffer_init(&r->streams[i].bytes, LINE_BYTES_MAX + 1);
}

void lines_done(struct line_reader *r)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		buffer_done(&r->streams[i].bytes);
}

/* Makes a line of what a stream has gathered; false when it is not wanted. */
static bool make_line(struct line_reader *r, unsigned stream, struct line *ret)
{
	struct buffer *b = &r->streams[stream].bytes;
	size_t n = b->size;
	bool whole = n > 0 && b->data[n - 1] == '\n';

	r->streams[stream].given = true;
	if (r->strip)
		n = ansi_strip(b->data, n, &r->streams[stream].state);
	if (r->grep && !pattern_match(r->grep, b->data, n - (n > 0 && whole), NULL))
		return false;
	*ret = (struct line){
		.stream = stream,
		.offset = r->streams[stream].offset,
		.when = r->streams[stream].when,
		.data = b->data,
		.size = n,
		.whole = whole,
	};
	return true;
}

/* Takes the next piece of the page, up to a line end. True when a line is complete. */
static bool gather(struct line_reader *r, unsigned *ret_stream, bool *ret_more)
{
	struct iovec view[2];
	const char *end;
	struct buffer *b;
	int pieces;
	size_t n = page_peek(&r->page, LINE_BYTES_MAX, view, &pieces);
	unsigned stream = r->page.stream;

	*ret_more = n > 0;
	if (n == 0)
		return false;
	b = &r->streams[stream].bytes;
	if (r->streams[stream].given) {
		buffer_consume(b, b->size);
		r->streams[stream].given = false;
	}
	if (b->size == 0) {
		r->streams[stream].offset = r->page.at[stream];
		r->streams[stream].when = r->page.when;
	}
	n = MIN(view[0].iov_len, (size_t)LINE_BYTES_MAX - b->size);
	end = memchr(view[0].iov_base, '\n', n);
	if (end)
		n = (size_t)(end + 1 - (const char *)view[0].iov_base);
	buffer_append(b, view[0].iov_base, n);
	page_advance(&r->page, n);
	*ret_stream = stream;
	return end || b->size >= LINE_BYTES_MAX;
}

bool lines_next(struct line_reader *r, bool last, struct line *ret)
{
	unsigned stream = 0;
	bool more = true;

	while (more)
		if (gather(r, &stream, &more) && make_line(r, stream, ret))
			return true;
	for (unsigned i = 0; last && i < STREAMS_MAX; i++)
		if (!r->streams[i].given && r->streams[i].bytes.size > 0 && make_line(r, i, ret))
			return true;
	return false;
}
