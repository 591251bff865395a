/* SPDX-License-Identifier: Apache-2.0 */
/* wait.h - waiting until one of several things has come true of a session.
 *
 * Driven by events, but for what nothing tells of: listening sockets (listeners.h) and whether a
 * terminal is being read from (typing.h). These are looked at while somebody waits for them, at a
 * pace that keeps looking below one percent of a processor. */
#pragma once
#include "engine/session.h"

#define WAIT_CONDITIONS_MAX 16U

enum wait_type {
	WAIT_EXIT,
	WAIT_TREE,
	WAIT_EOF,
	WAIT_MATCH,
	WAIT_PORT,
	WAIT_HTTP,
	WAIT_IDLE,
	WAIT_INPUT,
	N_WAIT_TYPES,
	WAIT_TIMEOUT = N_WAIT_TYPES, /* only as a result */
	WAIT_REMOVED,                /* the session was removed before anything came true */
};

struct wait;

/* What came true, and for `match` where. */
struct wait_result {
	enum wait_type type;
	unsigned stream;
	uint64_t from, to; /* of the line that matched, without its end */
	uint64_t span[2];  /* of the match itself */
	int http_status;
	bool echo; /* input: what is typed would be shown */
};

typedef void (*wait_done_fn)(void *data, const struct session *s, const struct wait_result *r);

/* Reads the list of conditions (`until` of the API; NULL: the exit) and begins to wait. `done` is
 * called once, from the loop and never from within this call; the wait is gone after it. */
int wait_new(struct wait **ret, struct session *s, const json_t *until, bool has_timeout,
	     uint64_t timeout_ms, wait_done_fn done, void *data, struct error *err);

/* Whether wait_new would take the list. */
int wait_check(const json_t *until, struct error *err);

/* Without a call of `done`. NULL is allowed. */
void wait_cancel(struct wait *w);

/* "exit"; "timeout". */
const char *wait_type_name(enum wait_type type);
