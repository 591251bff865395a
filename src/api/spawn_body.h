/* SPDX-License-Identifier: Apache-2.0 */
/* spawn_body.h - the body of POST /v1/sessions, checked. */
#pragma once
#include "api/observe.h"
#include "base/json.h"
#include "core/stopplan.h"
#include "engine/spawn.h"

struct spawn_body {
	enum slot_kind kind;
	struct json_list command;
	char *shell, *cwd, *name, *title, *originator, *parent_id;
	char *task_id, *thread_id, *turn_id, *runner_destination_id, *runner_session_id;
	struct json_map env;
	bool has_env, clear_env, merge_stderr;
	char *umask, *stop;
	json_t *limits, *labels, *attach, *ready, *observe; /* borrowed */
	struct observe_body observed;                       /* what `observe` says */
	int64_t nice;
	bool has_nice;
	int stdin_mode;
	int origin;
	int leftovers;
	uint64_t backlog, rows, cols;
	bool has_grace, has_timeout, has_ttl;
	uint64_t grace_ms, timeout_ms, ttl_ms, with_pid;
	int on_disconnect;
	bool replace;
	/* Made from them. */
	char **envp; /* NULL-terminated `KEY=value` */
	char *shell_argv[4];
	json_t *meta;
	struct spawn_request request;
};

extern const struct json_field spawn_body_fields[];

/* Reads and checks `json`; fills `body->request`. Call spawn_body_done in any case. `nofile_soft`:
 * what a child gets when the caller does not say. */
int spawn_body_read(struct spawn_body *body, const json_t *json, uint64_t nofile_soft,
		    struct error *err);
void spawn_body_done(struct spawn_body *body);
