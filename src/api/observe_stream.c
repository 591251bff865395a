/* SPDX-License-Identifier: Apache-2.0 */
/* observe_stream.c - the events of a subscription, as they come: a line of JSON each, or
 * server-sent events, or as the library packs them. */
#include "api/observe.h"
#include "api/routes.h"
#include "base/buffer.h"
#include "base/parse.h"
#include <stdlib.h>
#include <string.h>

#define PIECE_MAX (1U * MiB) /* of one event as text */

enum event_format {
	FORMAT_NDJSON,
	FORMAT_SSE,
	FORMAT_BINARY,
};

static const char *const content_types[] = {
	[FORMAT_NDJSON] = "application/x-ndjson",
	[FORMAT_SSE] = "text/event-stream",
	[FORMAT_BINARY] = "application/x-reeve-events",
};

/* Before each event of the binary form; numbers in the machine's order. */
struct binary_head {
	uint32_t size; /* of the packed event that follows */
	uint32_t zero;
	uint64_t seq;
};

struct event_stream {
	struct observe_reader reader;
	struct session *session; /* NULL once there is nothing to come */
	struct request *rq;
	enum event_format format;
	bool follow, attach;
	struct events_subscriber own; /* without attach: our place */
	struct buffer out;            /* written, not taken yet */
};

static void on_news(struct observe_reader *r)
{
	request_wake(container_of(r, struct event_stream, reader)->rq);
}

static void on_ended(struct observe_reader *r)
{
	struct event_stream *es = container_of(r, struct event_stream, reader);

	es->session = NULL;
	request_wake(es->rq);
}

static void on_closed(void *data)
{
	struct event_stream *es = data;

	observe_unread(&es->reader);
	buffer_done(&es->out);
	free(es);
}

static void put_text(struct event_stream *es, const struct reeve_event *e, uint64_t seq)
{
	struct json_writer w = { .to = &es->out };

	if (es->format == FORMAT_SSE)
		(void)buffer_printf(
			&es->out, "id: %llu\nevent: %s\ndata: ", (unsigned long long)seq,
			reeve_kind_name(e->kind) ? reeve_kind_name(e->kind) : "unknown");
	render_event(&w, e, seq);
	(void)buffer_append_text(&es->out, es->format == FORMAT_SSE ? "\n\n" : "\n");
}

/* The next event into `out`; false when there is none now. */
static bool put_next(struct event_stream *es, unsigned place)
{
	struct events_memory *m = &es->session->observed->memory;
	struct reeve_event *e;
	const void *bytes;
	size_t size;
	uint64_t seq;

	if (es->attach ? !events_peek(m, place, &bytes, &size, &seq)
		       : !events_look_next(m, &es->own, &bytes, &size, &seq))
		return false;
	if (es->format == FORMAT_BINARY) {
		struct binary_head head = { .size = (uint32_t)size, .seq = seq };

		(void)buffer_append(&es->out, &head, sizeof(head));
		(void)buffer_append(&es->out, bytes, size);
	} else if (event_unpack(bytes, size, &e) >= 0) {
		put_text(es, e, seq);
		reeve_event_free(e);
	}
	if (!es->attach)
		return true;
	events_next(m, place);
	observe_taken(es->session->observed);
	return true;
}

static ssize_t on_pull(void *data, char *buffer, size_t max)
{
	struct event_stream *es = data;
	size_t n = 0;

	for (;;) {
		int place = es->session
				    ? events_find(&es->session->observed->memory, es->reader.number)
				    : -1;
		size_t piece = MIN(es->out.size, max - n);

		memcpy(buffer + n, es->out.data ? es->out.data : "", piece);
		buffer_consume(&es->out, piece);
		n += piece;
		if (n == max)
			return (ssize_t)n;
		if (place >= 0 && put_next(es, (unsigned)place))
			continue;
		if (n > 0)
			return (ssize_t)n;
		if (place < 0 || !es->follow || events_state(&es->session->observed->memory)->over)
			return -1;
		return 0;
	}
}

/* The best that the client takes; NDJSON when it does not say. */
static enum event_format format_of(const struct request *rq)
{
	const char *accept = request_header(rq, "Accept");

	if (accept && strstr(accept, content_types[FORMAT_SSE]))
		return FORMAT_SSE;
	if (accept && strstr(accept, content_types[FORMAT_BINARY]))
		return FORMAT_BINARY;
	return FORMAT_NDJSON;
}

/* What a browser's EventSource sends when it connects again. */
static int request_last_event(const struct request *rq, uint64_t *ret, struct error *err)
{
	const char *text = request_header(rq, "Last-Event-ID");

	if (text && parse_u64(text, 0, INT64_MAX, ret) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "Last-Event-ID: %s is no number",
				 text);
	return 0;
}

/* Becomes the reader, or reads beside it. */
static void begin(struct event_stream *es, unsigned place, uint64_t seq)
{
	struct observed *o = es->session->observed;

	if (!es->attach) {
		es->own = events_state(&o->memory)->subscribers[place];
		events_look(&o->memory, &es->own, seq == UINT64_MAX ? 0 : seq);
		return;
	}
	observe_read(o, &es->reader);
	if (seq != UINT64_MAX)
		events_seek(&o->memory, place, seq);
}

int observer_events(struct request *rq, void *context, struct error *err)
{
	struct event_stream *es;
	uint64_t seq = UINT64_MAX;
	bool follow = true, attach = true;
	struct session *s;
	unsigned place;
	int r = request_subscriber(rq, context, &s, &place, err);

	if (r >= 0)
		r = request_query_u64(rq, "seq", INT64_MAX, &seq, err);
	if (r >= 0)
		r = request_query_bool(rq, "follow", &follow, err);
	if (r >= 0)
		r = request_query_bool(rq, "attach", &attach, err);
	if (r >= 0 && follow && !attach)
		r = error_set(err, ERROR_INVALID_ARGUMENT,
			      "attach=false reads what is there, and needs follow=false");
	if (r >= 0 && seq == UINT64_MAX)
		r = request_last_event(rq, &seq, err);
	if (r < 0)
		return r;
	es = calloc(1, sizeof(*es));
	if (!es)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	buffer_init(&es->out, PIECE_MAX);
	es->session = s;
	es->rq = rq;
	es->format = format_of(rq);
	es->follow = follow;
	es->attach = attach;
	es->reader = (struct observe_reader){
		.number = events_state(&s->observed->memory)->subscribers[place].number,
		.news = on_news,
		.ended = on_ended,
	};
	begin(es, place, seq);
	return request_stream(rq, 200, content_types[es->format], on_pull, on_closed, es);
}
