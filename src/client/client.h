/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - talking to the daemon of this user: finds it, starts it, asks it.
 *
 * A request that may be repeated is repeated, for up to CLIENT_PATIENCE_MS, while the engine is
 * being replaced. Not thread-safe. */
#pragma once
#include "base/paths.h"
#include "client/http.h"
#include <jansson.h>

#define CLIENT_PATIENCE_MS 30000U
#define CLIENT_ANSWER_MAX  (64U * MiB)

struct client;

enum client_flag {
	CLIENT_NO_AUTOSTART = 1 << 0,
};

/* `flags` is a set of enum client_flag. Connects to nothing yet. */
int client_new(struct client **ret, unsigned flags, struct error *e);
struct client *client_free(struct client *c);

static inline void client_freep(struct client **c)
{
	*c = client_free(*c);
}

const struct paths *client_paths(const struct client *c);

struct client_request {
	const char *method;
	const char *target; /* encoded, see uri.h */
	const json_t *body; /* borrowed; NULL: none */
	const void *data;   /* a body that is not JSON; used when `body` is NULL */
	size_t size;
	const char *key;     /* Idempotency-Key; makes it repeatable */
	bool once;           /* never repeated: doing it twice would do harm */
	unsigned timeout_ms; /* how long to wait for the answer; 0: for ever */
};

/* Sends the request and waits for the answer; `*ret` (NULL is allowed) gets its JSON as a new
 * reference. An answer of 400 or more is an error with the API's code and message; for what failed
 * before that see client_unreachable. */
int client_call(struct client *c, const struct client_request *rq, json_t **ret, struct error *e);

/* The same up to the head of the answer; its body is then read from client_http. */
int client_open(struct client *c, const struct client_request *rq, const struct http_head **ret,
		struct error *e);
struct http_client *client_http(struct client *c);

/* Hands over the connection of the answer that client_open has opened. */
struct http_client *client_take_answer(struct client *c);

/* Hands over the connection, or NULL when there is none that takes another request. */
struct http_client *client_take_http(struct client *c);

/* Whether the last failure was that of reaching the daemon, and whether it was one of starting it.
 */
bool client_unreachable(const struct client *c);
bool client_start_failed(const struct client *c);

/* `details` of the last error answer, borrowed; NULL when there are none. */
const json_t *client_error_details(const struct client *c);

/* The status of the last answer. */
int client_status(const struct client *c);
