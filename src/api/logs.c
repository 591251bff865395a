/* SPDX-License-Identifier: Apache-2.0 */
/* logs.c - answers with a page of a session's output, or follows it. */
#include "api/log_source.h"
#include "api/render.h"
#include "api/routes.h"
#include "base/json.h"
#include <stdio.h>
#include <string.h>

#define PAGE_MAX (8U * 1024U * 1024U) /* bytes of one JSON page */
#define PIECE    65536U

struct log_answer {
	struct listener listener;
	struct session *session; /* NULL after it was removed */
	struct request *rq;
	struct log_query q;
	struct log_source source;
	uint64_t from[STREAMS_MAX];
	uint64_t dropped; /* before the first byte that is given */
	bool opened;      /* `source` is in use */
	bool lapped;      /* bytes were overwritten before they could be given */
	uv_timer_t timer;
	bool waiting;
};

static struct page *page_of(struct log_answer *a)
{
	return &a->source.reader.page;
}

/* Opens the source and notes where the streams stand before anything is taken. From then on what is
 * overwritten unread makes a hole. */
static void open_source(struct log_answer *a)
{
	struct page *p;

	log_source_init(&a->source, a->session, &a->q);
	a->opened = true;
	p = page_of(a);
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		uint64_t tail = ring_tail(&a->session->streams[i].capture.ring);

		a->from[i] = p->at[i];
		if (!p->want[i] || p->at[i] >= tail)
			continue;
		if (a->q.from != UINT64_MAX) /* what nobody asked for is not missed */
			a->dropped = tail - p->at[i];
		p->at[i] = tail;
	}
	p->dropped = 0;
}

static void timer_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct log_answer, timer));
}

static void free_answer(struct log_answer *a)
{
	session_unlisten(&a->listener);
	if (a->opened)
		log_source_done(&a->source);
	log_query_done(&a->q);
	if (a->waiting)
		uv_close((uv_handle_t *)&a->timer, timer_closed);
	else
		free(a);
}

/* --- raw and ndjson: streamed
 * ------------------------------------------------------------------------ */

/* Bytes are missing in the middle. What is followed ends, and the client learns where to go on;
 * what was promised as a whole is broken off. */
static ssize_t end_lapped(struct log_answer *a)
{
	unsigned only = log_query_stream(&a->q);
	char text[32];

	if (!a->q.follow)
		return -2;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)page_of(a)->dropped);
	request_add_trailer(a->rq, "Reeve-Dropped", text);
	if (only < STREAMS_MAX) {
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)ring_tail(&a->session->streams[only].capture.ring));
		request_add_trailer(a->rq, "Reeve-Next", text);
	}
	return -1;
}

static ssize_t on_pull(void *data, char *buffer, size_t max)
{
	struct log_answer *a = data;
	size_t total = 0, n = 1;
	bool end = false;

	if (!a->session)
		return a->q.follow ? -1 : -2;
	while (!a->lapped && n > 0 && total < max) {
		n = log_source_next(&a->source, buffer + total, max - total, &end);
		a->lapped = page_of(a)->dropped > 0;
		if (!a->lapped)
			total += n;
	}
	if (total > 0)
		return (ssize_t)total;
	if (a->lapped)
		return end_lapped(a);
	if (end || !a->q.follow)
		return -1;
	return session_ended(a->session) && page_over(page_of(a)) ? -1 : 0;
}

static void on_closed(void *data)
{
	free_answer(data);
}

static void on_output(struct listener *l, unsigned stream)
{
	(void)stream;
	request_wake(container_of(l, struct log_answer, listener)->rq);
}

static void on_changed(struct listener *l)
{
	on_output(l, 0);
}

static void on_gone(struct listener *l)
{
	struct log_answer *a = container_of(l, struct log_answer, listener);

	a->session = NULL;
	request_wake(a->rq);
}

static void add_number(struct request *rq, const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	request_add_header(rq, name, text);
}

static int answer_stream(struct log_answer *a)
{
	struct request *rq = a->rq;
	unsigned only = log_query_stream(&a->q);
	const struct session *s = a->session;

	if (only < STREAMS_MAX) {
		const struct ring *ring = &s->streams[only].capture.ring;

		add_number(rq, "Reeve-From", MAX(a->from[only], ring_tail(ring)));
		add_number(rq, "Reeve-Dropped", a->dropped);
		if (!a->q.follow)
			add_number(rq, "Reeve-Next", ring_head(ring));
	}
	if (!a->q.follow)
		page_of(a)->last = word_load(s->index.head);
	add_number(rq, "Reeve-Omitted", a->source.omitted);
	request_add_header(rq, "Reeve-Status", session_status(s));
	if (!a->q.follow)
		request_add_header(rq, "Reeve-Eof", page_at_end(page_of(a)) ? "true" : "false");
	if (session_exited(s) && session_exitinfo(s).known) {
		char text[16];

		snprintf(text, sizeof(text), "%d", session_exitinfo(s).code);
		request_add_header(rq, "Reeve-Exit-Code", text);
	}
	a->listener = (struct listener){
		.output = on_output, .changed = on_changed, .gone = on_gone, .hands_on = true
	};
	session_listen(a->session, &a->listener);
	return request_stream(rq, 200,
			      a->q.format == LOG_NDJSON ? "application/x-ndjson"
							: "application/octet-stream",
			      on_pull, on_closed, a);
}

/* --- a JSON page
 * ---------------------------------------------------------------------------------------- */

static json_t *offsets(const struct log_answer *a, const uint64_t at[STREAMS_MAX])
{
	unsigned only = log_query_stream(&a->q);
	json_t *o;

	if (only < STREAMS_MAX)
		return json_integer((json_int_t)at[only]);
	o = json_object();
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (a->q.want[i])
			json_object_set_new(o, render_stream_name(a->session, i),
					    json_integer((json_int_t)at[i]));
	return o;
}

static void read_page(struct log_answer *a, struct buffer *bytes)
{
	bool end = false;
	size_t n = 1;

	while (n > 0 && !end && buffer_reserve(bytes, PIECE) >= 0) {
		n = log_source_next(&a->source, bytes->data + bytes->size, PIECE, &end);
		bytes->size += n;
	}
}

static int answer_page(struct log_answer *a)
{
	unsigned only = log_query_stream(&a->q);
	struct page *p = page_of(a);
	struct buffer bytes;
	json_t *o, *content;

	buffer_init(&bytes, PAGE_MAX + 2 * PIECE);
	read_page(a, &bytes);
	content = json_bytes(bytes.data ? bytes.data : "", bytes.size);
	buffer_done(&bytes);
	o = json_pack("{s:s, s:o, s:o, s:I, s:I, s:b, s:s}", "stream",
		      only < STREAMS_MAX ? render_stream_name(a->session, only) : "all", "from",
		      offsets(a, a->from), "next", offsets(a, p->at), "dropped",
		      (json_int_t)a->dropped, "omitted", (json_int_t)a->source.omitted, "eof",
		      (int)page_over(p), "status", session_status(a->session));
	if (a->source.omitted > 0)
		json_object_set_new(o, "omittedAt", json_integer((json_int_t)a->source.first));
	if (session_exited(a->session))
		json_object_set_new(o, "exitCode", render_exit_code(a->session));
	if (json_is_string(content))
		json_object_set_new(o, "text", content);
	else
		json_object_update_new(o, content);
	return request_reply_json(a->rq, 200, o);
}

/* --- waiting for news
 * ----------------------------------------------------------------------------------- */

static void news_come(struct log_answer *a)
{
	/* `tail` and `limit` count what has come, too. */
	log_source_done(&a->source);
	open_source(a);
	if (a->q.format == LOG_JSON) {
		answer_page(a);
		free_answer(a);
		return;
	}
	session_unlisten(&a->listener);
	answer_stream(a);
}

static void wait_output(struct listener *l, unsigned stream)
{
	struct log_answer *a = container_of(l, struct log_answer, listener);

	(void)stream;
	if (log_source_has_news(&a->source))
		news_come(a);
}

static void wait_changed(struct listener *l)
{
	wait_output(l, 0);
}

static void wait_gone(struct listener *l)
{
	struct log_answer *a = container_of(l, struct log_answer, listener);
	struct error e = { 0 };

	error_set(&e, ERROR_NOT_FOUND, "%s was removed", a->session->id);
	request_reply_error(a->rq, &e);
	free_answer(a);
}

static void wait_over(uv_timer_t *timer)
{
	news_come(container_of(timer, struct log_answer, timer));
}

static void wait_cancelled(struct request *rq, void *data)
{
	(void)rq;
	free_answer(data);
}

static int wait_for_news(struct log_answer *a)
{
	uv_timer_init(&a->session->engine->loop, &a->timer);
	a->waiting = true;
	a->listener = (struct listener){ .output = wait_output,
					 .changed = wait_changed,
					 .gone = wait_gone };
	session_listen(a->session, &a->listener);
	uv_timer_start(&a->timer, wait_over, a->q.wait_ms, 0);
	request_defer(a->rq, wait_cancelled, a);
	return 0;
}

int session_logs(struct request *rq, void *context, struct error *err)
{
	struct log_answer *a;
	struct log_query q;
	struct session *s;
	int r = request_session(rq, context, &s, err);

	if (r >= 0 && s->quarantined)
		r = error_set(err, ERROR_WRONG_STATE,
			      "%s is quarantined: its memory cannot be read", s->id);
	if (r >= 0)
		r = log_query_read(&q, rq, s, err);
	if (r < 0)
		return r;
	a = calloc(1, sizeof(*a));
	if (!a) {
		log_query_done(&q);
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	}
	a->session = s;
	a->rq = rq;
	a->q = q;
	if (q.format == LOG_JSON)
		a->q.limit = MIN(q.limit, (uint64_t)PAGE_MAX);
	open_source(a);
	if (q.wait_ms > 0 && !log_source_has_news(&a->source))
		return wait_for_news(a);
	if (q.format != LOG_JSON)
		return answer_stream(a);
	r = answer_page(a);
	free_answer(a);
	return r;
}
