/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/line_source.h"
#include "base/json.h"
#include <errno.h>
#include <string.h>

#define TARGET_MAX 8192U

/* --- asking ---------------------------------------------------------------------------------- */

/* Asks for all that is kept once something was given: what comes before that is skipped here. */
static int ask(struct line_source *s, struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	struct logs_values v = *s->v;
	struct client_request rq = { .method = "GET" };
	const struct http_head *head;
	int r;

	if (s->begun)
		v.lines = v.since = v.from = NULL;
	buffer_init(&target, TARGET_MAX);
	if (logs_target(&target, &v, s->id, "ndjson", v.follow) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "an argument is too long");
	rq.target = buffer_text(&target);
	r = client_open(s->cli->client, &rq, &head, e);
	if (r < 0)
		return r;
	http_client_close(s->http);
	s->http = client_take_answer(s->cli->client);
	s->skipping = s->begun;
	buffer_consume(&s->text, s->text.size);
	s->at = 0;
	return 0;
}

int line_source_open(struct line_source *s, struct cli *cli, const char *id,
		     const struct logs_values *v, struct error *e)
{
	json_t *session = NULL;
	const char *name;
	int r;

	*s = (struct line_source){ .cli = cli, .id = id, .v = v };
	buffer_init(&s->text, CLIENT_ANSWER_MAX);
	r = cli_call_session(cli, "GET", id, "", NULL, &session, e);
	if (r < 0)
		return r;
	name = json_string_value(json_object_get(session, "name"));
	snprintf(s->name, sizeof(s->name), "%s", name ? name : id);
	logs_tell_lost(session, v);
	json_decref(session);
	return ask(s, e);
}

void line_source_done(struct line_source *s)
{
	http_client_close(s->http);
	buffer_done(&s->text);
	free(s->line.bytes);
	*s = (struct line_source){ .over = true };
}

/* --- lines ----------------------------------------------------------------------------------- */

static uint64_t end_of(const struct source_line *line)
{
	return line->offset + line->size + !line->partial;
}

/* Whether the line was given before the answer broke off. The daemon tells the lines in an order
 * that stays: what comes before the first one was not asked for. */
static bool was_given(struct line_source *s)
{
	struct source_line *line = &s->line;
	uint64_t next = s->streams[line->stream].next;

	if (s->skipping && (line->stream != s->first_stream || end_of(line) <= s->first_offset))
		return true;
	s->skipping = false;
	if (!s->streams[line->stream].known || line->offset >= next)
		return false;
	if (end_of(line) <= next)
		return true;
	/* a long line comes in pieces, and not always in the same */
	line->size -= next - line->offset;
	memmove(line->bytes, line->bytes + (next - line->offset), line->size);
	line->offset = next;
	return false;
}

/* Between what was given and this, bytes were overwritten. (With --grep there is more between.) */
static void tell_gap(const struct line_source *s)
{
	const struct source_line *line = &s->line;
	uint64_t next = s->streams[line->stream].next;

	if (s->streams[line->stream].known && line->offset > next && !s->v->grep)
		fprintf(stderr, "reeve: %llu bytes of %s are gone\n",
			(unsigned long long)(line->offset - next), frame_stream_name(line->stream));
}

static int read_line(struct line_source *s, const char *text, size_t size, struct error *e)
{
	struct source_line *line = &s->line;
	const char *stream, *time;
	json_t *object = NULL;
	int r = json_load_strict(text, size, &object, e);

	if (r < 0)
		return r;
	free(line->bytes);
	line->bytes = NULL;
	stream = json_string_value(json_object_get(object, "stream"));
	time = json_string_value(json_object_get(object, "time"));
	line->stream = stream ? frame_stream_from_name(stream, strlen(stream)) : FRAME_NO_STREAM;
	line->offset = (uint64_t)json_integer_value(json_object_get(object, "offset"));
	line->partial = json_is_true(json_object_get(object, "partial"));
	snprintf(line->time, sizeof(line->time), "%s", time ? time : "-");
	r = logs_content(object, &line->bytes, &line->size);
	json_decref(object);
	return r < 0 ? error_set(e, ERROR_INTERNAL, "the daemon's answer holds no line") : 0;
}

/* Cuts the next line that is wanted out of the text. */
static int cut(struct line_source *s, struct error *e)
{
	while (!s->pending) {
		const char *text = s->text.data + s->at;
		const char *end =
			s->text.size > s->at ? memchr(text, '\n', s->text.size - s->at) : NULL;
		int r;

		if (!end)
			return 0;
		r = read_line(s, text, (size_t)(end - text), e);
		if (r < 0)
			return r;
		s->at += (size_t)(end + 1 - text);
		s->pending = !was_given(s);
	}
	tell_gap(s);
	return 0;
}

int line_source_take(struct line_source *s, struct error *e)
{
	if (!s->begun) {
		s->begun = true;
		s->first_stream = s->line.stream;
		s->first_offset = s->line.offset;
	}
	s->streams[s->line.stream].known = true;
	s->streams[s->line.stream].next = end_of(&s->line);
	s->pending = false;
	return cut(s, e);
}

/* The end of an answer: that of the output, unless we were too slow. */
static int end(struct line_source *s, struct error *e)
{
	const char *dropped = http_client_trailer(s->http, "Reeve-Dropped");

	if (!dropped) {
		s->over = true;
		return 0;
	}
	if (s->v->grep)
		fprintf(stderr, "reeve: %s bytes of %s are gone\n", dropped, s->name);
	return ask(s, e);
}

/* Reads once. -EAGAIN without `wait`. */
static int read_some(struct line_source *s, bool wait, struct error *e)
{
	const char *bytes;
	size_t n;
	int r = wait ? http_client_body(s->http, &bytes, &n, e)
		     : http_client_body_now(s->http, &bytes, &n, e);

	if (r == -ECONNRESET)
		return ask(s, e);
	if (r == 0)
		return end(s, e);
	if (r < 0)
		return r;
	buffer_consume(&s->text, s->at);
	s->at = 0;
	r = buffer_append(&s->text, bytes, n);
	if (r < 0)
		return error_set_errno(e, ERROR_TOO_LARGE, r, "a line of %s", s->name);
	return cut(s, e);
}

int line_source_fill(struct line_source *s, bool wait, struct error *e)
{
	int r = 0;

	while (r == 0 && !s->over && !s->pending)
		r = read_some(s, wait, e);
	return r == -EAGAIN ? 1 : r;
}
