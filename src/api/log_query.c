/* SPDX-License-Identifier: Apache-2.0 */
#include "api/log_query.h"
#include "api/render.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/parse.h"
#include <string.h>

unsigned log_query_stream(const struct log_query *q)
{
	if (q->want[STREAM_OUT] && q->want[STREAM_ERR])
		return STREAMS_MAX;
	return q->want[STREAM_OUT] ? STREAM_OUT : STREAM_ERR;
}

static int read_stream(struct log_query *q, const struct session *s, const char *name,
		       struct error *err)
{
	bool all = !name || strcmp(name, "all") == 0, known = all, merged = false;

	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		bool named = name && strcmp(name, render_stream_name(s, i)) == 0;
		bool exists = output_stream_exists(s, i);

		q->want[i] = (all || named) && exists;
		known |= named && exists;
		merged |= named && !exists;
	}
	if (!known && merged)
		return error_set(err, ERROR_STREAM_UNAVAILABLE,
				 "%s has no %s of its own: it goes into %s", s->id, name,
				 render_stream_name(s, STREAM_OUT));
	if (!known)
		return error_set(err, ERROR_INVALID_ARGUMENT, "stream=%s: %s has %s", name, s->id,
				 session_is_pty(s) ? "pty (or all), for it runs on a terminal"
						   : "stdout, stderr and all");
	return 0;
}

static int read_since(struct log_query *q, const char *text, struct error *err)
{
	uint64_t ms, now = clock_realtime_ms();

	if (!text)
		return 0;
	if (parse_duration_ms(text, &ms) >= 0)
		q->since = ms < now ? (now - ms) * 1000 : 0;
	else if (clock_parse(text, &ms) >= 0)
		q->since = ms * 1000;
	else
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "since=%s: expected a duration as 10m or a time as "
				 "2026-01-31T12:00:00Z",
				 text);
	return 0;
}

static int read_format(struct log_query *q, const char *text, struct error *err)
{
	q->format = q->follow ? LOG_RAW : LOG_JSON;
	if (!text)
		return 0;
	if (strcmp(text, "raw") == 0)
		q->format = LOG_RAW;
	else if (strcmp(text, "json") == 0)
		q->format = LOG_JSON;
	else if (strcmp(text, "ndjson") == 0)
		q->format = LOG_NDJSON;
	else
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "format=%s: expected raw, json or ndjson", text);
	if (q->follow && q->format == LOG_JSON)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "follow has no end, as a JSON page has; use format=raw or ndjson");
	return 0;
}

static int read_texts(struct log_query *q, struct request *rq, struct error *err)
{
	const char *wait = request_query(rq, "wait"), *ansi = request_query(rq, "ansi");
	const char *grep = request_query(rq, "grep");

	if (wait && parse_duration_ms(wait, &q->wait_ms) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "wait=%s: expected a duration as 10s",
				 wait);
	if (ansi && strcmp(ansi, "strip") != 0 && strcmp(ansi, "keep") != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "ansi=%s: expected strip or keep",
				 ansi);
	q->strip = ansi && strcmp(ansi, "strip") == 0;
	return grep ? pattern_new(&q->grep, grep, "grep", err) : 0;
}

int log_query_read(struct log_query *q, struct request *rq, const struct session *s,
		   struct error *err)
{
	int r;

	*q = (struct log_query){
		.from = UINT64_MAX, .limit = UINT64_MAX, .head = UINT64_MAX, .tail = UINT64_MAX
	};
	r = read_stream(q, s, request_query(rq, "stream"), err);
	if (r >= 0)
		r = request_query_u64(rq, "from", INT64_MAX, &q->from, err);
	if (r >= 0)
		r = request_query_u64(rq, "limit", INT64_MAX, &q->limit, err);
	if (r >= 0)
		r = request_query_u64(rq, "head", INT64_MAX, &q->head, err);
	if (r >= 0)
		r = request_query_u64(rq, "tail", INT64_MAX, &q->tail, err);
	if (r >= 0)
		r = read_since(q, request_query(rq, "since"), err);
	if (r >= 0)
		r = request_query_bool(rq, "follow", &q->follow, err);
	if (r >= 0)
		r = read_format(q, request_query(rq, "format"), err);
	if (r >= 0)
		r = read_texts(q, rq, err);
	if (r >= 0 && q->from != UINT64_MAX && log_query_stream(q) == STREAMS_MAX)
		r = error_set(err, ERROR_INVALID_ARGUMENT,
			      "from is an offset of one stream: name it with stream=");
	if (r < 0)
		log_query_done(q);
	return r;
}

void log_query_done(struct log_query *q)
{
	q->grep = pattern_free(q->grep);
}
