/* SPDX-License-Identifier: Apache-2.0 */
/* http_fixture.h - a real server on a loop in a thread of its own, and a client that writes what it
 * is told, byte for byte. All functions are for the test's thread unless they say otherwise. */
#pragma once
#include "api/http.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include <cmocka.h>

#define PATIENCE_MS 20000

/* --- the server ----------------------------------------------------------------------------- */

struct fixture {
	char dir[64];
	struct sockaddr_un address;
	int listen_fd;
	uv_loop_t loop;
	uv_async_t call;
	void (*function)(struct fixture *f);
	sem_t done;
	pthread_t thread;
	const struct route *routes;
	struct http_limits limits;
	struct http_server *server;
	struct error error;
	unsigned connections; /* fixture_connections */
	atomic_uint handled, cancelled, closed, pulls;
	void *test; /* the test's own */
};

static inline void fixture_on_call(uv_async_t *async)
{
	struct fixture *f = async->data;

	if (!f->function)
		return;
	f->function(f);
	f->function = NULL;
	sem_post(&f->done);
}

/* Runs `function` on the loop's thread and waits for it. */
static inline void fixture_call(struct fixture *f, void (*function)(struct fixture *f))
{
	f->function = function;
	uv_async_send(&f->call);
	sem_wait(&f->done);
}

static inline void *fixture_run(void *data)
{
	struct fixture *f = data;

	uv_run(&f->loop, UV_RUN_DEFAULT);
	return NULL;
}

static inline void fixture_begin(struct fixture *f)
{
	http_server_new(&f->server, &f->loop, f->listen_fd, f->routes, &f->limits, f, &f->error);
}

static inline void fixture_end(struct fixture *f)
{
	f->server = http_server_unref(f->server);
	uv_close((uv_handle_t *)&f->call, NULL);
}

/* Starts a server with these routes, whose context is the fixture. */
static inline struct fixture *fixture_new(const struct route *routes, struct http_limits limits)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->routes = routes;
	f->limits = limits;
	strcpy(f->dir, "/tmp/reeve-test-http-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->address.sun_family = AF_UNIX;
	snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/api.sock", f->dir);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen_fd, (void *)&f->address, sizeof(f->address)), 0);
	assert_int_equal(listen(f->listen_fd, 4096), 0);
	sem_init(&f->done, 0, 0);
	uv_loop_init(&f->loop);
	uv_async_init(&f->loop, &f->call, fixture_on_call);
	f->call.data = f;
	pthread_create(&f->thread, NULL, fixture_run, f);
	fixture_call(f, fixture_begin);
	if (!f->server)
		fail_msg("%s", f->error.message);
	return f;
}

/* Frees the server first, when the test has not. */
static inline void fixture_unref(struct fixture *f)
{
	fixture_call(f, fixture_end);
	pthread_join(f->thread, NULL);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	sem_destroy(&f->done);
	close(f->listen_fd);
	unlink(f->address.sun_path);
	rmdir(f->dir);
	free(f);
}

static inline void fixture_count(struct fixture *f)
{
	f->connections = http_server_connections(f->server);
}

static inline unsigned fixture_connections(struct fixture *f)
{
	fixture_call(f, fixture_count);
	return f->connections;
}

static inline uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Waits until `condition` holds; fails the test when it never does. */
#define wait_until(condition)                                                                      \
	do {                                                                                       \
		uint64_t _until = now_ms() + PATIENCE_MS;                                          \
		while (!(condition)) {                                                             \
			if (now_ms() > _until)                                                     \
				fail_msg("never: %s", #condition);                                 \
			poll(NULL, 0, 1);                                                          \
		}                                                                                  \
	} while (0)

/* --- the client ----------------------------------------------------------------------------- */

struct client {
	int fd;
	size_t n; /* bytes in `data` that no answer has used yet */
	char data[256 * 1024];
	/* The last answer. */
	int status;
	char head[4096];
	char body[256 * 1024];
	size_t n_body;
};

static inline int dial(const struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const void *)&f->address, sizeof(f->address)) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

static inline struct client *client_new(const struct fixture *f)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->fd = dial(f);
	return c;
}

static inline void client_unref(struct client *c)
{
	close(c->fd);
	free(c);
}

/* Returns whether the server still took it. */
static inline bool client_send_bytes(struct client *c, const char *data, size_t n)
{
	while (n) {
		ssize_t sent = send(c->fd, data, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		data += sent;
		n -= (size_t)sent;
	}
	return true;
}

static inline bool client_send(struct client *c, const char *text)
{
	return client_send_bytes(c, text, strlen(text));
}

/* Reads more into `data`. False at the end of the connection. */
static inline bool client_fill(struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	ssize_t n;

	assert_true(c->n < sizeof(c->data) - 1);
	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail_msg("the server says nothing; so far: %s", c->data);
	n = recv(c->fd, c->data + c->n, sizeof(c->data) - 1 - c->n, 0);
	if (n <= 0)
		return false;
	c->n += (size_t)n;
	c->data[c->n] = '\0';
	return true;
}

static inline void client_take(struct client *c, char *to, size_t n)
{
	memcpy(to, c->data, n);
	c->n -= n;
	memmove(c->data, c->data + n, c->n + 1);
}

/* True when the server has closed the connection and there is nothing left to read. */
static inline bool client_at_end(struct client *c)
{
	return c->n == 0 && !client_fill(c);
}

/* The value of a header of the last answer into `value`; "" when it is absent. */
static inline const char *client_header(const struct client *c, const char *name, char value[256])
{
	char line[128];
	const char *p;

	snprintf(line, sizeof(line), "\r\n%s: ", name);
	p = strcasestr(c->head, line);
	value[0] = '\0';
	if (p)
		snprintf(value, 256, "%.*s", (int)strcspn(p + strlen(line), "\r"),
			 p + strlen(line));
	return value;
}

/* One chunk onto the body; its size. -1 when the connection ends first. */
static inline long client_chunk(struct client *c)
{
	char line[4096], *end;
	size_t n;
	long size;

	while (!(end = strstr(c->data, "\r\n")))
		if (!client_fill(c))
			return -1;
	size = strtol(c->data, NULL, 16);
	client_take(c, line, (size_t)(end + 2 - c->data));
	n = (size_t)size + 2;
	while (c->n < n)
		if (!client_fill(c))
			return -1;
	assert_true(c->n_body + n < sizeof(c->body));
	client_take(c, c->body + c->n_body, n);
	assert_memory_equal(c->body + c->n_body + size, "\r\n", 2);
	c->n_body += (size_t)size;
	c->body[c->n_body] = '\0';
	return size;
}

/* Reads a head only. Returns its status, 0 when the connection ended instead. */
static inline int client_receive_head(struct client *c)
{
	char *end;

	c->n_body = 0;
	c->body[0] = '\0';
	while (!c->n || !(end = strstr(c->data, "\r\n\r\n")))
		if (!client_fill(c))
			return 0;
	assert_true((size_t)(end + 4 - c->data) < sizeof(c->head));
	memset(c->head, 0, sizeof(c->head));
	client_take(c, c->head, (size_t)(end + 4 - c->data));
	c->status = 0;
	sscanf(c->head, "HTTP/1.1 %d ", &c->status);
	assert_true(c->status >= 100);
	return c->status;
}

/* Reads one answer. Returns its status, 0 when the connection ended before it was whole. */
static inline int client_receive(struct client *c)
{
	char value[256];
	size_t n;
	long size;

	if (!client_receive_head(c))
		return 0;
	if (c->status < 200)
		return c->status;
	if (strcmp(client_header(c, "Transfer-Encoding", value), "chunked") == 0) {
		do
			size = client_chunk(c);
		while (size > 0);
		return size < 0 ? 0 : c->status;
	}
	n = strtoul(client_header(c, "Content-Length", value), NULL, 10);
	while (c->n < n)
		if (!client_fill(c))
			return 0;
	assert_true(n < sizeof(c->body));
	client_take(c, c->body, n);
	c->body[n] = '\0';
	c->n_body = n;
	return c->status;
}

static inline int client_ask(struct client *c, const char *request)
{
	client_send(c, request);
	return client_receive(c);
}

/* The code of the error that the last answer is; NULL when it is none of ours. */
static inline const char *client_error(const struct client *c)
{
	static char code[64];
	char value[256];
	json_t *answer = json_loads(c->body, JSON_REJECT_DUPLICATES, NULL);
	json_t *error = json_object_get(answer, "error");
	const char *text = json_string_value(json_object_get(error, "code"));
	bool whole = text && json_is_string(json_object_get(error, "message")) &&
		     json_is_boolean(json_object_get(error, "retryable")) &&
		     strcmp(client_header(c, "Content-Type", value), "application/json") == 0;

	snprintf(code, sizeof(code), "%s", text ? text : "");
	json_decref(answer);
	return whole ? code : NULL;
}

static inline void assert_error(const struct client *c, int status, const char *code)
{
	assert_int_equal(c->status, status);
	if (!client_error(c))
		fail_msg("no error of ours: %s", c->body);
	assert_string_equal(client_error(c), code);
}
