/* SPDX-License-Identifier: Apache-2.0 */
/* logs.c - a page of a session's output, and following it. */
#include "api/page.h"
#include "api/render.h"
#include "api/routes.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>

#define PAGE_MAX (8U * 1024U * 1024U) /* bytes of one JSON page */

enum log_format {
	FORMAT_RAW,
	FORMAT_JSON,
};

struct log_query {
	bool want[STREAMS_MAX];
	const char *stream; /* as asked; NULL: all */
	uint64_t from, limit, head, tail, since, wait_ms;
	bool follow;
	enum log_format format;
};

/* An answer that is being given, now or as output comes. */
struct log_answer {
	struct listener listener;
	struct session *session;
	struct request *rq;
	struct log_query q;
	struct page page;
	uint64_t first, skip, rest; /* bytes: give, leave out, give */
	uint64_t lines_left;	    /* of `head`, UINT64_MAX for no limit */
	uv_timer_t timer;
	bool waiting;
};

/* --- the query ----------------------------------------------------------------------------------------- */

static int read_stream(const struct session *s, const char *name, struct log_query *q,
		       struct error *err)
{
	q->stream = name;
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		q->want[i] = !name || strcmp(name, "all") == 0;
		if (name && strcmp(name, render_stream_name(s, i)) == 0) {
			if (!output_stream_exists(s, i))
				return error_set(err, ERROR_STREAM_UNAVAILABLE,
						 "%s has no %s of its own: it goes into stdout", s->id,
						 name);
			q->want[i] = true;
			return 0;
		}
	}
	if (name && strcmp(name, "all") != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "stream=%s: expected stdout, stderr, pty or all", name);
	return 0;
}

static int read_since(const char *text, uint64_t *ret, struct error *err)
{
	uint64_t ms;

	if (!text)
		return 0;
	if (parse_duration_ms(text, &ms) >= 0)
		*ret = (clock_realtime_ms() - ms) * 1000;
	else if (clock_parse(text, &ms) >= 0)
		*ret = ms * 1000;
	else
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "since=%s: expected a duration as 10m or a time as "
				 "2026-01-31T12:00:00Z",
				 text);
	return 0;
}

static int read_format(const char *text, enum log_format *ret, struct error *err)
{
	if (!text)
		return 0;
	if (strcmp(text, "raw") == 0)
		*ret = FORMAT_RAW;
	else if (strcmp(text, "json") == 0)
		*ret = FORMAT_JSON;
	else
		return error_set(err, ERROR_INVALID_ARGUMENT, "format=%s: expected raw or json", text);
	return 0;
}

static int refuse_later(const struct request *rq, struct error *err)
{
	static const char *const later[] = { "grep", "ansi" };

	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		if (request_query(rq, later[i]))
			return error_set(err, ERROR_UNIMPLEMENTED, "%s is not available in this version",
					 later[i]);
	return 0;
}

static int read_query(struct request *rq, const struct session *s, struct log_query *q,
		      struct error *err)
{
	const char *wait = request_query(rq, "wait");
	int r;

	*q = (struct log_query){ .from = UINT64_MAX, .limit = UINT64_MAX, .head = UINT64_MAX,
				 .tail = UINT64_MAX, .format = FORMAT_JSON };
	r = read_stream(s, request_query(rq, "stream"), q, err);
	if (r >= 0)
		r = refuse_later(rq, err);
	if (r >= 0)
		r = request_query_u64(rq, "from", INT64_MAX, &q->from, err);
	if (r >= 0)
		r = request_query_u64(rq, "limit", INT64_MAX, &q->limit, err);
	if (r >= 0)
		r = request_query_u64(rq, "head", INT64_MAX, &q->head, err);
	if (r >= 0)
		r = request_query_u64(rq, "tail", INT64_MAX, &q->tail, err);
	if (r >= 0)
		r = read_since(request_query(rq, "since"), &q->since, err);
	if (r >= 0)
		r = request_query_bool(rq, "follow", &q->follow, err);
	if (r >= 0)
		r = read_format(request_query(rq, "format"), &q->format, err);
	if (r < 0)
		return r;
	if (wait && parse_duration_ms(wait, &q->wait_ms) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "wait=%s: expected a duration as 10s",
				 wait);
	if (q->follow && q->format == FORMAT_JSON && request_query(rq, "format"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "follow gives raw bytes; use format=raw");
	if (q->follow)
		q->format = FORMAT_RAW;
	return 0;
}

/* --- what to give -------------------------------------------------------------------------------------- */

static unsigned only_stream(const struct log_query *q)
{
	return q->want[STREAM_OUT] ? STREAM_OUT : STREAM_ERR;
}

static bool is_single(const struct log_answer *a)
{
	return a->page.want[STREAM_OUT] != a->page.want[STREAM_ERR];
}

static void start_page(struct log_answer *a)
{
	struct page *p = &a->page;
	uint64_t bytes, lines;

	page_init(p, a->session, a->q.want);
	p->since = a->q.since;
	if (a->q.from != UINT64_MAX)
		p->at[only_stream(&a->q)] = a->q.from;
	if (a->q.tail != UINT64_MAX) {
		/* A last line without its end counts as one too. */
		struct page walk = *p;
		struct iovec view[2];
		int pieces;
		bool partial = false;
		size_t n;

		while ((n = page_peek(&walk, PAGE_MAX, view, &pieces)) > 0) {
			const struct iovec *last = &view[pieces - 1];

			partial = ((const char *)last->iov_base)[last->iov_len - 1] != '\n';
			page_advance(&walk, n);
		}
		page_count(p, &bytes, &lines);
		lines += partial;
		if (lines > a->q.tail)
			page_skip_lines(p, lines - a->q.tail);
	}
	a->lines_left = a->q.head;
	a->first = a->rest = UINT64_MAX;
	a->skip = 0;
	page_count(p, &bytes, &lines);
	if (a->q.format == FORMAT_JSON && a->q.limit > PAGE_MAX)
		a->q.limit = PAGE_MAX;
	if (!a->q.follow && bytes > a->q.limit) {
		a->first = a->q.limit - a->q.limit / 2;
		a->skip = bytes - a->q.limit;
		a->rest = a->q.limit / 2;
	}
}

/* The next bytes to give; 0 when there are none now (or the limits are reached: `*ret_end`). */
static size_t next_bytes(struct log_answer *a, char *to, size_t max, bool *ret_end)
{
	struct iovec view[2];
	int pieces;
	size_t n;

	*ret_end = a->lines_left == 0;
	if (a->first == 0 && a->skip > 0) {
		page_skip_bytes(&a->page, a->skip);
		a->first = a->rest;
		a->skip = 0;
	}
	if (a->first == 0)
		*ret_end = true;
	if (*ret_end)
		return 0;
	n = page_peek(&a->page, MIN((uint64_t)max, a->first), view, &pieces);
	if (n == 0)
		return 0;
	n = view[0].iov_len;
	if (a->lines_left != UINT64_MAX) {
		const char *nl = memchr(view[0].iov_base, '\n', n);

		if (nl) {
			n = (size_t)(nl + 1 - (const char *)view[0].iov_base);
			a->lines_left--;
		}
	}
	memcpy(to, view[0].iov_base, n);
	page_advance(&a->page, n);
	if (a->first != UINT64_MAX)
		a->first -= n;
	return n;
}

static void free_answer(struct log_answer *a);

/* --- raw ----------------------------------------------------------------------------------------------- */

static ssize_t raw_pull(void *data, char *buffer, size_t max)
{
	struct log_answer *a = data;
	size_t total = 0, n;
	bool end = false;

	if (!a->session)
		return -1;
	while (total < max && (n = next_bytes(a, buffer + total, max - total, &end)) > 0)
		total += n;
	if (total > 0)
		return (ssize_t)total;
	if (end || !a->q.follow)
		return -1;
	return session_ended(a->session) && page_over(&a->page) ? -1 : 0;
}

static void raw_closed(void *data)
{
	free_answer(data);
}

static void raw_output(struct listener *l, unsigned stream)
{
	struct log_answer *a = container_of(l, struct log_answer, listener);

	(void)stream;
	request_wake(a->rq);
}

static void raw_changed(struct listener *l)
{
	request_wake(container_of(l, struct log_answer, listener)->rq);
}

static void raw_gone(struct listener *l)
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

static int answer_raw(struct log_answer *a)
{
	struct request *rq = a->rq;
	unsigned only = only_stream(&a->q);

	if (is_single(a)) {
		const struct ring *ring = &a->session->streams[only].capture.ring;

		add_number(rq, "Reeve-From", MAX(a->page.at[only], ring_tail(ring)));
		if (!a->q.follow)
			add_number(rq, "Reeve-Next", ring_head(ring));
		add_number(rq, "Reeve-Dropped", ring_tail(ring) > a->page.at[only]
							? ring_tail(ring) - a->page.at[only]
							: 0);
	}
	add_number(rq, "Reeve-Omitted", a->skip);
	request_add_header(rq, "Reeve-Status", session_status(a->session));
	a->listener = (struct listener){ .output = raw_output,
					 .changed = raw_changed,
					 .gone = raw_gone };
	session_listen(a->session, &a->listener);
	return request_stream(rq, 200, "application/octet-stream", raw_pull, raw_closed, a);
}

/* --- JSON ---------------------------------------------------------------------------------------------- */

static json_t *offsets(const struct log_answer *a, const uint64_t at[STREAMS_MAX])
{
	json_t *o;

	if (is_single(a))
		return json_integer((json_int_t)at[only_stream(&a->q)]);
	o = json_object();
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (a->page.want[i])
			json_object_set_new(o, render_stream_name(a->session, i),
					    json_integer((json_int_t)at[i]));
	return o;
}

static int answer_json(struct log_answer *a)
{
	struct buffer bytes;
	uint64_t omitted = a->skip, from[STREAMS_MAX];
	json_t *o = json_object(), *content;
	bool end = false;
	size_t n = 1;

	buffer_init(&bytes, PAGE_MAX + 1);
	memcpy(from, a->page.at, sizeof(from));
	while (n > 0 && !end && buffer_reserve(&bytes, 65536) >= 0) {
		n = next_bytes(a, bytes.data + bytes.size, 65536, &end);
		bytes.size += n;
	}
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (a->page.want[i] && from[i] < a->page.at[i] && a->page.dropped > 0 && is_single(a))
			from[i] = a->q.from;
	content = json_bytes(bytes.data ? bytes.data : "", bytes.size);
	json_object_set_new(o, "stream", json_string(is_single(a) ? render_stream_name(
									     a->session,
									     only_stream(&a->q))
								  : "all"));
	json_object_set_new(o, "from", offsets(a, from));
	json_object_set_new(o, "next", offsets(a, a->page.at));
	json_object_set_new(o, "dropped", json_integer((json_int_t)a->page.dropped));
	json_object_set_new(o, "omitted", json_integer((json_int_t)omitted));
	json_object_set_new(o, "eof", json_boolean(page_over(&a->page)));
	json_object_set_new(o, "status", json_string(session_status(a->session)));
	if (session_exited(a->session))
		json_object_set_new(o, "exitCode", render_exit_code(a->session));
	if (json_is_string(content))
		json_object_set_new(o, "text", content);
	else
		json_object_update_new(o, content);
	buffer_done(&bytes);
	return request_reply_json(a->rq, 200, o);
}

/* --- waiting for news ---------------------------------------------------------------------------------- */

static bool has_news(const struct log_answer *a)
{
	struct page walk = a->page;
	struct iovec view[2];
	int pieces;

	return page_peek(&walk, 1, view, &pieces) > 0 || page_over(&a->page) ||
	       session_ended(a->session);
}

static void timer_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct log_answer, timer));
}

static void free_answer(struct log_answer *a)
{
	session_unlisten(&a->listener);
	if (a->waiting)
		uv_close((uv_handle_t *)&a->timer, timer_closed);
	else
		free(a);
}

static void news_come(struct log_answer *a)
{
	start_page(a);
	answer_json(a);
	free_answer(a);
}

static void wait_output(struct listener *l, unsigned stream)
{
	struct log_answer *a = container_of(l, struct log_answer, listener);

	(void)stream;
	if (has_news(a))
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

	error_set(&e, ERROR_NOT_FOUND, "the session was removed");
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

	if (r >= 0)
		r = read_query(rq, s, &q, err);
	if (r < 0)
		return r;
	a = calloc(1, sizeof(*a));
	if (!a)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	a->session = s;
	a->rq = rq;
	a->q = q;
	start_page(a);
	if (q.from != UINT64_MAX && !is_single(a)) {
		free(a);
		return error_set(err, ERROR_INVALID_ARGUMENT, "from needs one stream=");
	}
	if (q.format == FORMAT_RAW)
		return answer_raw(a);
	if (q.wait_ms > 0 && !has_news(a))
		return wait_for_news(a);
	r = answer_json(a);
	free_answer(a);
	return r;
}
