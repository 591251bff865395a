/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - the options of `run`, and the request that comes of them. */
#pragma once
#include "cli/options.h"
#include <jansson.h>

struct run_values {
	bool detach, attach, pty, pipe, clear_env, merge, stdin_pipe, remove, replace, no_parent;
	const char *name, *cwd, *line, *grace, *stop_signal, *stop, *title, *key, *timeout;
	const char *originator, *leftovers, *on_disconnect, *with_pid, *ready_timeout, *ttl,
		*id_file, *detach_keys;
	struct words env, env_files, unset, labels, ready;
	uint64_t backlog;
	const char *observe;                  /* categories; NULL: nobody observes it */
	struct words backends;                /* CATEGORY=NAME */
	bool report;                          /* afterwards, on stderr */
	bool watch, watch_json, watch_failed; /* its events, on stderr */
	const char *watch_path;
};

/* Whether the session's stdin is a pipe: with -d when asked for, else when ours is more than
 * nothing. */
bool run_wants_input(const struct run_values *v);

/* Whether the session gets a terminal. */
bool run_wants_terminal(const struct run_values *v);

/* What becomes of it when the client goes, "keep" or "stop": with a terminal it is for later. NULL
 * when nothing was said of a detached one. */
const char *run_on_disconnect(const struct run_values *v);

/* ERROR_INVALID_ARGUMENT for options that exclude or need each other. */
int run_check(const struct run_values *v, struct error *e);

/* Adds one field; steals `value`. ERROR_INVALID_ARGUMENT when it is NULL: text that is not UTF-8.
 */
int request_put(json_t *request, const char *name, json_t *value, struct error *e);

/* Adds all that the options, the command (`n` words) and the caller's circumstances say. */
int request_make(json_t *request, const struct run_values *v, int n, char **words, struct error *e);
