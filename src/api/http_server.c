/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_internal.h"
#include "base/fd.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define WATCH_BATCH 64
#define CIRCLES_MAX 500U

static const struct http_limits defaults = {
	.connections = 1000,
	.reserved = 8,
	.idle_seconds = 60,
	.head_seconds = 30,
	.header_bytes = 32 * KiB,
};

/* --- running libmicrohttpd ------------------------------------------------------------------ */

static void on_timeout(uv_timer_t *timer);
static void on_idle(uv_idle_t *idle);

void server_schedule(struct http_server *s)
{
	if (!s->closing)
		uv_idle_start(&s->idle, on_idle);
}

/* With the line before a chunk libmicrohttpd 0.9.75 fills its memory, and then runs in circles
 * until the connection's time is over. Nothing is told of that; but nothing else comes of it,
 * either. */
static void break_circle(struct http_server *s)
{
	bool found = false;

	if (s->called)
		s->n_nothing = 0;
	if (++s->n_nothing < CIRCLES_MAX)
		return;
	s->n_nothing = 0;
	for (struct connection *c = s->connections; c; c = c->next)
		found |= connection_refuse_chunk(c, true);
	for (struct connection *c = s->connections; c && !found; c = c->next)
		connection_refuse_chunk(c, false);
}

/* The timer is left alone while it fires early enough: with activity deadlines only move away. */
static void arm_timeout(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;
	uint64_t due;

	if (MHD_get_timeout(s->daemon, &ms) != MHD_YES)
		return;
	if (ms == 0) {
		break_circle(s);
		server_schedule(s);
		return;
	}
	s->n_nothing = 0;
	due = uv_now(s->loop) + ms;
	if (uv_is_active((uv_handle_t *)&s->timeout) && s->timeout_due <= due)
		return;
	s->timeout_due = due;
	uv_timer_start(&s->timeout, on_timeout, ms, 0);
}

static void run(struct http_server *s)
{
	s->called = false;
	MHD_run(s->daemon);
	arm_timeout(s);
}

static void on_timeout(uv_timer_t *timer)
{
	run(container_of(timer, struct http_server, timeout));
}

static void on_idle(uv_idle_t *idle)
{
	uv_idle_stop(idle);
	run(container_of(idle, struct http_server, idle));
}

static void on_daemon_ready(uv_poll_t *poll, int status _unused_, int events _unused_)
{
	run(container_of(poll, struct http_server, daemon_poll));
}

/* --- connections ---------------------------------------------------------------------------- */

/* A hang-up is reported for every descriptor of an epoll set, and only for the whole socket: a
 * client that has merely ended its own half still waits for the answer. Edge-triggered, it is
 * reported once, so the descriptor can stay in the set while libmicrohttpd reads from it. */
void connection_watch(struct connection *c)
{
	struct epoll_event event = { .events = EPOLLET, .data.ptr = c };

	if (c->watched)
		return;
	if (epoll_ctl(c->server->watch_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		log_warn("cannot see whether a client goes away: %s", strerror(errno));
	else
		c->watched = true;
}

unsigned connection_idle_ms(const struct connection *c)
{
	return (c->late ? LATE_IDLE_SECONDS : c->server->limits.idle_seconds) * 1000U;
}

/* libmicrohttpd's idle limit begins anew with every byte. Without a limit for the whole head a
 * client that sends one now and then would keep its place for good. */
static uint64_t head_due(const struct connection *c)
{
	return c->since + connection_idle_ms(c) + c->server->limits.head_seconds * 1000ULL;
}

static void on_heads(uv_timer_t *timer)
{
	struct http_server *s = container_of(timer, struct http_server, heads);
	uint64_t now = uv_now(s->loop), next = UINT64_MAX;

	for (struct connection *c = s->connections; c; c = c->next) {
		if (c->request && c->request->begun)
			continue;
		if (head_due(c) <= now)
			shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd sees the end, and closes */
		else
			next = MIN(next, head_due(c) - now);
	}
	if (next != UINT64_MAX)
		uv_timer_start(timer, on_heads, next, 0);
}

void connection_await_head(struct connection *c)
{
	struct http_server *s = c->server;

	uint64_t patience;

	c->since = uv_now(s->loop);
	patience = head_due(c) - c->since;
	/* When it is due too early for this one it is set again then. */
	if (!s->closing &&
	    (!uv_is_active((uv_handle_t *)&s->heads) || uv_timer_get_due_in(&s->heads) > patience))
		uv_timer_start(&s->heads, on_heads, patience, 0);
}

static void on_hangup(uv_poll_t *poll, int status _unused_, int events _unused_)
{
	struct http_server *s = container_of(poll, struct http_server, watch_poll);
	struct epoll_event batch[WATCH_BATCH];
	int n = epoll_wait(s->watch_fd, batch, WATCH_BATCH, 0);

	/* Nothing is freed in here: requests and connections end in MHD_run alone. */
	for (int i = 0; i < n; i++) {
		struct connection *c = batch[i].data.ptr;

		c->gone = true;
		if (c->request)
			request_cancel(c->request);
	}
}

static void connection_opened(struct http_server *s, struct MHD_Connection *mhd, void **context)
{
	struct connection *c = take(s->arriving);

	*context = c;
	c->mhd = mhd;
	c->next = s->connections;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	s->n_connections++;
	connection_await_head(c);
}

static void connection_closed(struct http_server *s, struct connection *c)
{
	c->request = request_unref(c->request);
	if (!s->closing)
		connection_refuse_line(c);
	if (c->watched)
		epoll_ctl(s->watch_fd, EPOLL_CTL_DEL, c->fd, NULL);
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->connections = c->next;
	s->n_connections--;
	free(c);
}

static void on_connection(void *server, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		connection_opened(server, mhd, context);
	else
		connection_closed(server, *context);
}

/* --- life ----------------------------------------------------------------------------------- */

/* Paths and queries are decoded in route.c: libmicrohttpd would pass over what is wrong. */
static size_t leave_escaped(void *context _unused_, struct MHD_Connection *mhd _unused_, char *text)
{
	return strlen(text);
}

static void limits_set(struct http_limits *limits, const struct http_limits *given)
{
	*limits = given ? *given : defaults;
	if (!limits->connections)
		limits->connections = defaults.connections;
	if (!limits->idle_seconds)
		limits->idle_seconds = defaults.idle_seconds;
	if (!limits->head_seconds)
		limits->head_seconds = defaults.head_seconds;
	if (!limits->header_bytes)
		limits->header_bytes = defaults.header_bytes;
}

static int start_daemon(struct http_server *s, struct error *e)
{
	const struct MHD_OptionItem options[] = {
		{ MHD_OPTION_CONNECTION_LIMIT, s->limits.connections + s->limits.reserved + 1,
		  NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, s->limits.idle_seconds, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)s->limits.header_bytes, NULL },
		{ MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)request_on_uri, s },
		{ MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escaped, NULL },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_on_completed, s },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, s },
		{ MHD_OPTION_END, 0, NULL },
	};

	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			MHD_ALLOW_UPGRADE | MHD_USE_TURBO,
		0, NULL, NULL, request_on_data, s, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!s->daemon)
		return error_set_errno(e, ERROR_INTERNAL, errno, "HTTP server: start");
	s->queue = queue_function();
	if (!s->queue)
		return error_set(e, ERROR_INTERNAL, "HTTP server: no MHD_queue_response");
	return 0;
}

static void handle_add(struct http_server *s, void *handle)
{
	((uv_handle_t *)handle)->data = s;
	s->handles[s->n_handles++] = handle;
}

static int start_poll(struct http_server *s, uv_poll_t *poll, int fd, uv_poll_cb cb,
		      struct error *e)
{
	int r = uv_poll_init(s->loop, poll, fd);

	if (r >= 0) {
		handle_add(s, poll);
		r = uv_poll_start(poll, UV_READABLE, cb);
	}
	return r < 0 ? error_set_errno(e, ERROR_INTERNAL, r, "HTTP server: poll") : 0;
}

static int start_handles(struct http_server *s, struct error *e)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int r;

	uv_idle_init(s->loop, &s->idle);
	handle_add(s, &s->idle);
	uv_timer_init(s->loop, &s->timeout);
	handle_add(s, &s->timeout);
	uv_timer_init(s->loop, &s->heads);
	handle_add(s, &s->heads);
	uv_timer_init(s->loop, &s->pause);
	handle_add(s, &s->pause);
	refuser_init(&s->refuser, s->loop);
	handle_add(s, &s->refuser.timer);
	r = start_poll(s, &s->daemon_poll, info->epoll_fd, on_daemon_ready, e);
	if (r >= 0)
		r = start_poll(s, &s->watch_poll, s->watch_fd, on_hangup, e);
	if (r >= 0)
		r = start_poll(s, &s->listen_poll, s->listen_fd, server_accept_ready, e);
	return r;
}

static void http_server_unrefp(struct http_server **s)
{
	*s = http_server_unref(*s);
}

int http_server_new(struct http_server **ret, uv_loop_t *loop, int listen_fd,
		    const struct route *routes, const struct http_limits *limits, void *context,
		    struct error *e)
{
	_cleanup_(http_server_unrefp) struct http_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "HTTP server");
	s->loop = loop;
	s->listen_fd = listen_fd;
	s->routes = routes;
	s->context = context;
	limits_set(&s->limits, limits);
	s->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->watch_fd < 0 || s->spare_fd < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "HTTP server: descriptors");
	r = start_daemon(s, e);
	if (r >= 0)
		r = start_handles(s, e);
	if (r < 0)
		return r;
	*ret = take(s);
	return 0;
}

void http_server_quiesce(struct http_server *s)
{
	s->quiesced = true;
	uv_poll_stop(&s->listen_poll);
	uv_timer_stop(&s->pause);
}

unsigned http_server_connections(const struct http_server *s)
{
	return s->n_connections;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct http_server *s = handle->data;

	if (--s->n_handles == 0)
		free(s);
}

struct http_server *http_server_unref(struct http_server *s)
{
	unsigned n;

	if (!s)
		return NULL;
	n = s->n_handles;
	s->closing = true;
	for (unsigned i = 0; i < n; i++)
		uv_close(s->handles[i], on_handle_closed);
	/* libmicrohttpd must not stop while it has suspended connections. */
	for (struct connection *c = s->connections; c; c = c->next)
		if (c->request)
			request_cancel(c->request);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	refuser_done(&s->refuser);
	fd_close(s->spare_fd);
	fd_close(s->watch_fd);
	if (!n)
		free(s);
	return NULL;
}
