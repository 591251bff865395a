/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - from a checked request to a session whose child is being made. */
#pragma once
#include "core/spec.h"
#include "engine/attachment.h"
#include "engine/observe.h"
#include "engine/session.h"

struct spawn_request {
	struct spec spec; /* argv, environment, cwd; borrowed */
	json_t *meta;     /* what is kept of the request; borrowed, gets `name` */
	const char *name; /* NULL: made from the command */
	bool stdin_pipe, merge;
	bool pty; /* then the two above count for nothing */
	uint16_t rows, cols;
	uint64_t backlog; /* bytes per stream, a power of two */
	uint64_t key_hash[2], body_hash[2];
	uint64_t timeout_ms;  /* 0: none */
	uint64_t parent;      /* handle, 0: none */
	bool end_with_client; /* onDisconnect: stop */
	pid_t with_pid;       /* 0: none */
	bool has_ttl;
	uint64_t ttl_ms;
	enum attach_mode attach; /* ATTACH_NONE: nobody is attached from the start */
	uint64_t token[2];
	pid_t peer;
	const struct observe_request *observe; /* NULL: nobody observes it from the start */
};

/* Reserves a slot, makes pipes and memory, and asks the keeper to start the child. The session
 * has `pending_spawn` until the keeper has answered: listen for changes. */
int session_spawn(struct engine *e, const struct spawn_request *rq, struct session **ret,
		  struct error *err);

/* A record without process, for a session of which nothing but its roster entry is left. `slot`'s
 * words are filled but for the sizes. */
int session_make_record(struct engine *e, unsigned slot, const char *meta, struct session **ret,
			struct error *err);

/* A free slot with all its words zero; 0 and ERROR_EXHAUSTED when there is none. */
unsigned slot_reserve(struct engine *e, struct error *err);

/* --- names.c
 * ------------------------------------------------------------------------------------------ */

/* Whether people may give this name. ERROR_INVALID_ARGUMENT says what is wrong with it. */
int name_check(const char *name, struct error *err);
/* One from the command that no live session has: make, make-2, ... */
int name_make(struct engine *e, const char *command, char ret[SESSION_NAME_MAX + 1]);
