/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - an HTTP/1.1 client for one Unix socket: one request at a time on a kept connection,
 * bodies with a length or in chunks, upgrades. Blocking; not thread-safe.
 *
 * Return values that a caller tells apart: -ENOENT and -ECONNREFUSED, nobody listens;
 * -ECONNRESET, the connection broke before the answer was complete (the request may or may not
 * have been carried out); -ETIMEDOUT; -EPROTO, what came is not HTTP. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "client/http_parse.h"

struct http_client;

struct http_request {
	const char *method;
	const char *target;       /* already encoded */
	const char *headers;      /* more header lines, each with its CRLF; NULL for none */
	const char *content_type; /* of the body; NULL: application/json */
	const void *body;
	size_t body_size; /* 0 with a NULL body: no body, no Content-Length */
};

/* Connects, and checks that the server runs as this user. */
int http_client_open(const char *socket_path, struct http_client **ret, struct error *e);

/* The same over a connected socket, which it takes over. -ENOMEM (the socket is then closed). */
int http_client_from_fd(int fd, struct http_client **ret);

/* Closes the connection. Returns NULL; NULL is allowed. */
struct http_client *http_client_close(struct http_client *c);

static inline void http_client_closep(struct http_client **c)
{
	*c = http_client_close(*c);
}

/* To poll while an answer is awaited. */
int http_client_fd(const struct http_client *c);

/* How long to wait for the next bytes of an answer; -1, as at the start, for ever. */
void http_client_set_timeout(struct http_client *c, int timeout_ms);

/* Sends a request. Whatever is left of an answer before is read and dropped first. */
int http_client_send(struct http_client *c, const struct http_request *rq, struct error *e);

/* Waits for the head of the answer. `*ret` belongs to the client and is valid until the next
 * request is sent. */
int http_client_head(struct http_client *c, const struct http_head **ret, struct error *e);

/* Views the next bytes of the body, valid until the next call. Returns 1; 0 at the end of the
 * body. */
int http_client_body(struct http_client *c, const char **ret, size_t *ret_size, struct error *e);

/* The same without waiting: -EAGAIN, with nothing in `e`, when nothing is there yet. */
int http_client_body_now(struct http_client *c, const char **ret, size_t *ret_size,
			 struct error *e);

/* Appends the whole rest of the body to `b`; past its cap ERROR_TOO_LARGE. */
int http_client_body_all(struct http_client *c, struct buffer *b, struct error *e);

/* A trailer that came behind a chunked body, once it is at its end; NULL when absent. */
const char *http_client_trailer(const struct http_client *c, const char *name);

/* Whether the connection can take another request. */
bool http_client_reusable(const struct http_client *c);

/* After a 101: hands the socket over, with the bytes that came behind the head (valid until the
 * client is closed, which it still has to be). */
int http_client_take_socket(struct http_client *c, const void **ret, size_t *ret_size);

/* Writes a request's head into `b`, as http_client_send does: for callers with a loop of their own.
 */
int http_format_head(struct buffer *b, const struct http_request *rq);

/* Connects a new socket; blocks at most while the backlog is full. Returns it. */
int http_connect(const char *socket_path, struct error *e);
