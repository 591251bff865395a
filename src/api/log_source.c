/* SPDX-License-Identifier: Apache-2.0 */
#include "api/log_source.h"
#include "api/render.h"
#include "base/json.h"
#include <string.h>

#define STEP    (256U * 1024U)
#define OUT_MAX (8U * LINE_BYTES_MAX) /* an escaped line as JSON */

/* --- one line, as the format wants it
 * ---------------------------------------------------------------- */

static void put_object(struct log_source *src, const struct line *line)
{
	size_t n = line->size - line->whole;
	json_t *o = json_pack("{s:s, s:I, s:o}", "stream",
			      render_stream_name(src->session, line->stream), "offset",
			      (json_int_t)line->offset, "time", render_time(line->when / 1000));
	json_t *content = json_bytes(line->data ? line->data : "", n);
	char *text;

	if (json_is_string(content))
		json_object_set_new(o, "text", content);
	else
		json_object_update_new(o, content);
	if (!line->whole)
		json_object_set_new(o, "partial", json_true());
	text = json_dumps(o, JSON_COMPACT);
	if (text)
		buffer_printf(&src->out, "%s\n", text);
	free(text);
	json_decref(o);
}

static bool next_line(struct log_source *src)
{
	bool last = !src->q->follow || page_over(&src->reader.page);
	struct line line;

	if (!lines_next(&src->reader, last, &line))
		return false;
	if (src->q->format == LOG_NDJSON)
		put_object(src, &line);
	else
		buffer_append(&src->out, line.data, line.size);
	return true;
}

/* --- pieces without any limit
 * ------------------------------------------------------------------------ */

static size_t piece_of_lines(struct log_source *src, char *to, size_t max)
{
	size_t n;

	if (src->out.size == 0 && !next_line(src))
		return 0;
	n = MIN(src->out.size, max);
	memcpy(to, src->out.data, n);
	buffer_consume(&src->out, n);
	return n;
}

static size_t piece_of_bytes(struct log_source *src, char *to, size_t max)
{
	struct iovec view[2];
	int pieces;

	if (page_peek(&src->reader.page, max, view, &pieces) == 0)
		return 0;
	memcpy(to, view[0].iov_base, view[0].iov_len);
	page_advance(&src->reader.page, view[0].iov_len);
	return view[0].iov_len;
}

static size_t piece(struct log_source *src, char *to, size_t max)
{
	return src->by_line ? piece_of_lines(src, to, max) : piece_of_bytes(src, to, max);
}

/* --- counting
 * ------------------------------------------------------------------------------------------ */

static uint64_t count_ends(const char *data, size_t n)
{
	const char *end = data + n;
	uint64_t lines = 0;

	while ((data = memchr(data, '\n', (size_t)(end - data)))) {
		lines++;
		data++;
	}
	return lines;
}

struct amount {
	uint64_t bytes, lines; /* a last line without its end counts too */
};

/* Goes through all there is, on a copy. */
static struct amount count_all(const struct log_source *src)
{
	struct amount a = { 0 };
	struct log_source walk = *src;
	_cleanup_(freep) char *bytes = malloc(STEP);
	char last = '\n';
	size_t n;

	if (!bytes)
		return a;
	lines_init(&walk.reader, &src->reader.page);
	walk.reader.strip = src->reader.strip;
	walk.reader.grep = src->reader.grep;
	buffer_init(&walk.out, OUT_MAX);
	while ((n = piece(&walk, bytes, STEP)) > 0) {
		a.bytes += n;
		a.lines += count_ends(bytes, n);
		last = bytes[n - 1];
	}
	a.lines += last != '\n';
	lines_done(&walk.reader);
	buffer_done(&walk.out);
	return a;
}

/* Leaves out the next `bytes` bytes, or what comes up to `lines` line ends. */
static void skip(struct log_source *src, uint64_t bytes, uint64_t lines)
{
	_cleanup_(freep) char *waste = malloc(STEP);

	while (waste && bytes > 0 && lines > 0) {
		/* By lines in small steps: what is taken cannot be put back. */
		size_t n = piece(src, waste, lines != UINT64_MAX ? 1 : MIN(bytes, (uint64_t)STEP));

		if (n == 0)
			return;
		if (bytes != UINT64_MAX)
			bytes -= n;
		if (lines != UINT64_MAX)
			lines -= waste[n - 1] == '\n';
	}
}

/* Lines of plain bytes are skipped where they lie. */
static void skip_lines(struct log_source *src, uint64_t lines)
{
	if (src->by_line)
		skip(src, UINT64_MAX, lines);
	else
		page_skip_lines(&src->reader.page, lines);
}

/* --- the whole
 * ------------------------------------------------------------------------------------------ */

void log_source_init(struct log_source *src, struct session *s, const struct log_query *q)
{
	struct amount all;
	struct page page;

	memset(src, 0, sizeof(*src));
	src->q = q;
	src->session = s;
	src->by_line = q->grep || q->strip || q->format == LOG_NDJSON;
	page_init(&page, s, q->want);
	page.since = q->since;
	if (q->from != UINT64_MAX)
		page.at[log_query_stream(q)] = q->from;
	lines_init(&src->reader, &page);
	src->reader.strip = q->strip;
	src->reader.grep = q->grep;
	buffer_init(&src->out, OUT_MAX);
	src->lines_left = q->head;
	src->first = UINT64_MAX;
	if (q->tail != UINT64_MAX) {
		all = count_all(src);
		if (all.lines > q->tail)
			skip_lines(src, all.lines - q->tail);
	}
	if (q->limit == UINT64_MAX || q->follow)
		return;
	all = count_all(src);
	if (all.bytes > q->limit) {
		src->first = q->limit - q->limit / 2;
		src->omitted = all.bytes - q->limit;
	}
}

void log_source_done(struct log_source *src)
{
	lines_done(&src->reader);
	buffer_done(&src->out);
}

/* Gives no more than what is left of `head`. */
static size_t cut_lines(struct log_source *src, const char *to, size_t n)
{
	size_t kept = 0;

	while (kept < n && src->lines_left > 0) {
		const char *end = memchr(to + kept, '\n', n - kept);

		kept = end ? (size_t)(end + 1 - to) : n;
		src->lines_left -= end != NULL;
	}
	return kept;
}

size_t log_source_next(struct log_source *src, char *to, size_t max, bool *ret_end)
{
	size_t n;

	*ret_end = src->lines_left == 0;
	if (*ret_end)
		return 0;
	if (!src->after_gap && src->given == src->first) {
		skip(src, src->omitted, UINT64_MAX);
		src->after_gap = true;
	}
	if (!src->after_gap && src->first != UINT64_MAX)
		max = MIN((uint64_t)max, src->first - src->given);
	n = piece(src, to, max);
	if (src->lines_left != UINT64_MAX)
		n = cut_lines(src, to, n);
	src->given += n;
	return n;
}

bool log_source_has_news(const struct log_source *src)
{
	struct page walk = src->reader.page;
	struct iovec view[2];
	int pieces;

	return page_peek(&walk, 1, view, &pieces) > 0 || page_over(&src->reader.page) ||
	       session_ended(src->session);
}
