/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - HTTP/1.1 on a Unix socket: libmicrohttpd under libuv, without its traps.
 *
 * The server accepts by itself (peer check, 503 above the limit), hands each connection to
 * libmicrohttpd, matches the route table and calls the handler once the whole body is there.
 * All of it runs on the loop's thread.
 *
 * A request is answered exactly once: at once from the handler, or later (`request_defer`).
 *
 * All errors are JSON, also those of a head or a chunk that libmicrohttpd itself cannot read. */
#pragma once
#include "base/error.h"
#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

struct http_server;
struct request;

#define TARGET_QUERY_MAX 32U /* query parameters of one request */

struct route {
	const char *method;
	const char *path; /* "/v1/sessions/{id}/logs": `{id}` matches one non-empty segment */
	/* Answers, defers, streams or upgrades the request. A negative return means that `e` is the
	 * answer; the handler then must not have answered. */
	int (*handle)(struct request *rq, void *context, struct error *e);
	size_t body_max;          /* bytes; 0: a body is refused */
	bool keep_place;          /* reachable on the few places kept above the connection limit */
	const char *const *query; /* NULL-terminated names of the allowed query parameters; an
				     unknown one is invalid_argument. NULL: none is allowed */
	const char *const *repeated; /* those of them that may be there several times */
};

/* 0 stands for the number beside it, but for `reserved`. */
struct http_limits {
	unsigned connections;  /* 1000; more get 503 with code `unavailable`, none hangs */
	unsigned reserved;     /* further places, for one request each to a route with keep_place */
	unsigned idle_seconds; /* 60; an idle or half-sent request is closed after this */
	unsigned head_seconds; /* 30; so much later the head of a request must be complete */
	size_t header_bytes;   /* 32 KiB; memory of one connection: request line and headers */
};

/* Starts serving on `listen_fd` (bound and listening; not closed by the server). `routes` ends with
 * a NULL method and must live as long as the server. `limits` may be NULL. */
int http_server_new(struct http_server **ret, uv_loop_t *loop, int listen_fd,
		    const struct route *routes, const struct http_limits *limits, void *context,
		    struct error *e);

/* Takes all that have connected and stops listening, so that another socket may be put under the
 * descriptor; then goes on. */
void http_server_pause(struct http_server *s);
void http_server_resume(struct http_server *s);

/* Stops accepting; open requests go on. */
void http_server_quiesce(struct http_server *s);

/* Closes every connection and frees the server (its handles in the loop's next turn). Deferred
 * requests are cancelled, streams closed; upgraded connections must have been closed before. Not
 * from within a callback of the server. NULL is allowed. */
struct http_server *http_server_unref(struct http_server *s);

/* Open connections, upgraded ones included. */
unsigned http_server_connections(const struct http_server *s);

/* --- what a handler asks ------------------------------------------------------------------- */

/* The text that `{name}` matched, percent-decoded. Never NULL for a name in the route. */
const char *request_param(const struct request *rq, const char *name);
/* A query parameter, percent-decoded; NULL when absent, "" when without a value. */
const char *request_query(const struct request *rq, const char *name);
/* All values of a parameter that may be repeated. Returns how many. */
unsigned request_query_all(const struct request *rq, const char *name,
			   const char *ret[TARGET_QUERY_MAX]);
const char *request_header(const struct request *rq, const char *name);
const void *request_body(const struct request *rq, size_t *ret_size);
/* The body as a JSON object (an empty body is `{}`): strict, duplicates and wrong types refused
 * with line and column. The reference belongs to the request. */
int request_json(struct request *rq, json_t **ret, struct error *e);
pid_t request_peer_pid(const struct request *rq);

/* --- answers -------------------------------------------------------------------------------- */

/* All return 0, or -EALREADY when there was an answer before; the request is over after them.
 * `body` is stolen; NULL (no memory) closes the connection. */
int request_reply_json(struct request *rq, int status, json_t *body);
int request_reply_bytes(struct request *rq, int status, const char *content_type, const void *data,
			size_t size);
int request_reply_error(struct request *rq, const struct error *e);
/* The same with `details` (stolen) in the error object. */
int request_reply_error_details(struct request *rq, const struct error *e, json_t *details);
/* Adds a header to the coming answer; at most 8, without line breaks. */
int request_add_header(struct request *rq, const char *name, const char *value);

/* Puts the answer off: from the handler, or again later with another `cancelled`. `cancelled` (may
 * be NULL) is called once, at most, when the client has gone away or the server is freed before an
 * answer; the request must not be used after it. Otherwise the request stays valid until it is
 * answered. A client that has only shut down its sending half has not gone away. */
void request_defer(struct request *rq, void (*cancelled)(struct request *rq, void *data),
		   void *data);

/* Streams the answer, chunked. `pull` writes up to `max` bytes into `buffer` and returns how many;
 * 0 when there is nothing now (it is called again after `request_wake`), -1 at the end, less to
 * break off, so that the client sees that the answer is not whole. `closed` (may be NULL) is called
 * exactly once, however the stream ends; the request must not be used after it. A client may read
 * as slowly as it likes. */
typedef ssize_t (*request_pull_fn)(void *data, char *buffer, size_t max);
int request_stream(struct request *rq, int status, const char *content_type, request_pull_fn pull,
		   void (*closed)(void *data), void *data);
void request_wake(struct request *rq);
/* Adds a header behind the body of a stream; only from `pull`. */
int request_add_trailer(struct request *rq, const char *name, const char *value);

/* Whether request_upgrade would answer with 101. */
bool request_offers_upgrade(const struct request *rq, const char *protocol);

/* Answers 101 with `Upgrade: protocol`. When libmicrohttpd has handed the socket over, `opened`
 * gets the non-blocking descriptor (owned by the server until `upgraded_close`) and the bytes that
 * were read behind the request. */
struct upgraded;
typedef void (*upgraded_fn)(struct upgraded *u, int fd, const void *extra, size_t n_extra,
			    void *data);
int request_upgrade(struct request *rq, const char *protocol, upgraded_fn opened, void *data);

/* The same, but either `opened` or `dropped` is called, and that once: `dropped` when the request
 * did not ask for the protocol (426, 400) or the client has gone before the socket was handed over.
 * Not before this function has returned. */
int request_upgrade_or(struct request *rq, const char *protocol, upgraded_fn opened,
		       void (*dropped)(void *data), void *data);

/* Closes the connection. Stop polling the descriptor before; do not use `u` after. */
void upgraded_close(struct upgraded *u);
