/* SPDX-License-Identifier: Apache-2.0 */
/* http_waiting.h - a server whose answers take their time: deferred ones, streams, upgrades. */
#pragma once
#include "http_fixture.h"

#define UPGRADE "GET /upgrade HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: other, "

/* What the loop's thread holds. Other threads come near it through fixture_call only. */
struct held {
	struct request *deferred[8];
	unsigned n_deferred;
	struct request *stream;
	char stream_text[64];
	size_t stream_left; /* bytes of 'x' to be streamed */
	bool stream_ended, stream_broken;
	struct upgraded *upgraded;
	int upgraded_fd;
	atomic_uint opened, dropped;
};

/* --- handlers ------------------------------------------------------------------------------- */

static inline void on_cancelled(struct request *rq, void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	f->cancelled++;
	for (unsigned i = 0; i < held->n_deferred; i++)
		if (held->deferred[i] == rq)
			held->deferred[i] = NULL;
}

static inline int defer(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;
	struct held *held = f->test;

	request_defer(rq, on_cancelled, f);
	held->deferred[held->n_deferred++] = rq;
	f->handled++;
	return 0;
}

static inline int defer_and_answer(struct request *rq, void *context, struct error *e _unused_)
{
	request_defer(rq, on_cancelled, context);
	return request_reply_json(rq, 200, json_pack("{s:b}", "now", 1));
}

static inline ssize_t pull(void *data, char *buffer, size_t max)
{
	struct fixture *f = data;
	struct held *held = f->test;
	size_t n = strlen(held->stream_text);

	f->pulls++;
	if (n) {
		memcpy(buffer, held->stream_text, n);
		held->stream_text[0] = '\0';
		return (ssize_t)n;
	}
	if (held->stream_left) {
		n = MIN(max, held->stream_left);
		memset(buffer, 'x', n);
		held->stream_left -= n;
		return (ssize_t)n;
	}
	if (held->stream_broken)
		return -2;
	return held->stream_ended ? -1 : 0;
}

/* Becomes ready while it is being asked. */
static inline ssize_t pull_racing(void *data, char *buffer, size_t max)
{
	struct fixture *f = data;
	struct held *held = f->test;

	if (f->pulls++ % 2 == 0 && f->pulls < 6) {
		request_wake(held->stream);
		return 0;
	}
	if (f->pulls > 6)
		return -1;
	memcpy(buffer, "ab", MIN(max, 2U));
	return 2;
}

static inline void on_closed(void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	f->closed++;
	held->stream = NULL;
}

static inline int stream(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;
	struct held *held = f->test;

	held->stream = rq;
	f->handled++;
	return request_stream(rq, 200, "text/plain", pull, on_closed, f);
}

static inline int stream_racing(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;
	struct held *held = f->test;

	held->stream = rq;
	return request_stream(rq, 200, "text/plain", pull_racing, on_closed, f);
}

static inline void on_opened(struct upgraded *u, int fd, const void *extra, size_t n_extra,
			     void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	held->upgraded = u;
	held->upgraded_fd = fd;
	send(fd, "read:", 5, MSG_NOSIGNAL);
	send(fd, extra, n_extra, MSG_NOSIGNAL);
	held->opened++;
}

static inline void on_dropped(void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	held->dropped++;
}

static inline int upgrade(struct request *rq, void *context, struct error *e _unused_)
{
	return request_upgrade_or(rq, "proto/1", on_opened, on_dropped, context);
}

static inline int ping(struct request *rq, void *context _unused_, struct error *e _unused_)
{
	return request_reply_json(rq, 200, json_object());
}

static const struct route routes[] = {
	{ .method = "GET", .path = "/defer", .handle = defer },
	{ .method = "GET", .path = "/at-once", .handle = defer_and_answer },
	{ .method = "GET", .path = "/stream", .handle = stream },
	{ .method = "GET", .path = "/racing", .handle = stream_racing },
	{ .method = "GET", .path = "/upgrade", .handle = upgrade },
	{ .method = "GET", .path = "/ping", .handle = ping },
	{ 0 },
};

/* --- on the loop's thread ------------------------------------------------------------------- */

static inline void answer_all(struct fixture *f)
{
	struct held *held = f->test;

	for (unsigned i = 0; i < held->n_deferred; i++)
		if (held->deferred[i])
			request_reply_json(held->deferred[i], 200, json_pack("{s:i}", "n", (int)i));
	held->n_deferred = 0;
}

static inline void stream_from_deferred(struct fixture *f)
{
	struct held *held = f->test;

	held->stream = held->deferred[0];
	request_stream(held->stream, 200, "text/plain", pull, on_closed, f);
}

static inline void say_hello(struct fixture *f)
{
	struct held *held = f->test;

	strcpy(held->stream_text, "hello");
	request_wake(held->stream);
	request_wake(held->stream);
}

/* The client's end of its socket, for wake_and_hang_up. */
static int client_fd;

static inline void wake_and_hang_up(uv_prepare_t *prepare)
{
	struct fixture *f = prepare->data;
	struct held *held = f->test;

	uv_close((uv_handle_t *)prepare, (uv_close_cb)free);
	request_wake(held->stream);
	close(client_fd);
}

/* In this phase of the loop, so that the hang-up is seen before the stream is asked again. */
static inline void wake_and_hang_up_in_time(struct fixture *f)
{
	uv_prepare_t *prepare = calloc(1, sizeof(*prepare));

	uv_prepare_init(&f->loop, prepare);
	prepare->data = f;
	uv_prepare_start(prepare, wake_and_hang_up);
}

static inline void end_stream(struct fixture *f)
{
	struct held *held = f->test;

	held->stream_ended = true;
	request_wake(held->stream);
}

static inline void break_stream(struct fixture *f)
{
	struct held *held = f->test;

	held->stream_broken = true;
	request_wake(held->stream);
}

static inline void echo_upgraded(struct fixture *f)
{
	struct held *held = f->test;
	char text[64];
	ssize_t n = recv(held->upgraded_fd, text, sizeof(text), MSG_DONTWAIT);

	if (n > 0)
		send(held->upgraded_fd, text, (size_t)n, MSG_NOSIGNAL);
}

static inline void close_upgraded(struct fixture *f)
{
	struct held *held = f->test;

	upgraded_close(held->upgraded);
}

static inline void free_server(struct fixture *f)
{
	f->server = http_server_unref(f->server);
}

/* --- tests ---------------------------------------------------------------------------------- */

static struct fixture *f;
static struct client *c, *other;
static struct held *held;

static inline int setup(void **state _unused_)
{
	f = fixture_new(routes, (struct http_limits){ .connections = 100, .idle_seconds = 1 });
	f->test = held = calloc(1, sizeof(*held));
	c = client_new(f);
	other = client_new(f);
	return 0;
}

static inline int teardown(void **state _unused_)
{
	client_unref(c);
	client_unref(other);
	fixture_unref(f);
	free(held);
	return 0;
}

static inline void hang_up(void)
{
	close(c->fd);
	c->fd = -1;
}
