/* SPDX-License-Identifier: Apache-2.0 */
#include "api/spawn_body.h"
#include "api/login_env.h"
#include "api/spawn_limits.h"
#include "base/text.h"
#include "core/pty.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define NAME_LIMIT    512
#define TEXT_LIMIT    4096
#define PATH_LIMIT    4096
#define LABELS_MAX    64
#define ARGS_MAX      (1 << 20)
#define ARG_BYTES_MAX (8 * MiB)

enum stdin_mode {
	STDIN_NULL, /* the default, so that nothing waits for input that never comes */
	STDIN_PIPE,
};

static const struct json_name kinds[] = { { "pipe", KIND_PIPE }, { "pty", KIND_PTY }, { 0 } };
static const struct json_name stdin_modes[] = { { "pipe", STDIN_PIPE },
						{ "null", STDIN_NULL },
						{ 0 } };
static const struct json_name origins[] = { { "command_exec", 0 },
					    { "background_task", 1 },
					    { "shell_tool", 2 },
					    { "remote_runner", 3 },
					    { 0 } };
static const struct json_name disconnects[] = { { "keep", 0 }, { "stop", 1 }, { 0 } };
static const struct json_name leftover_names[] = {
	{ "kill", LEFTOVERS_KILL }, { "keep", LEFTOVERS_KEEP }, { "fail", LEFTOVERS_FAIL }, { 0 }
};

#define AT(member) offsetof(struct spawn_body, member)

const struct json_field spawn_body_fields[] = {
	{ .name = "kind", .type = FIELD_ENUM, .offset = AT(kind), .names = kinds },
	{ .name = "command",
	  .type = FIELD_LIST,
	  .offset = AT(command),
	  .max = ARGS_MAX,
	  .max_bytes = ARG_BYTES_MAX },
	{ .name = "shell", .type = FIELD_BYTES, .offset = AT(shell), .max = 1 << 20 },
	{ .name = "cwd", .type = FIELD_BYTES, .offset = AT(cwd), .min = 1, .max = PATH_LIMIT },
	{ .name = "env",
	  .type = FIELD_MAP,
	  .offset = AT(env),
	  .seen = AT(has_env),
	  .max = ARGS_MAX,
	  .max_bytes = ARG_BYTES_MAX },
	{ .name = "clearEnv", .type = FIELD_BOOL, .offset = AT(clear_env) },
	{ .name = "umask", .type = FIELD_STRING, .offset = AT(umask), .min = 1, .max = 5 },
	{ .name = "limits", .type = FIELD_JSON, .offset = AT(limits) },
	{ .name = "nice",
	  .type = FIELD_I64,
	  .offset = AT(nice),
	  .seen = AT(has_nice),
	  .min = -20,
	  .max = 19 },
	{ .name = "stdin", .type = FIELD_ENUM, .offset = AT(stdin_mode), .names = stdin_modes },
	{ .name = "mergeStderr", .type = FIELD_BOOL, .offset = AT(merge_stderr) },
	{ .name = "name", .type = FIELD_STRING, .offset = AT(name), .max = NAME_LIMIT },
	{ .name = "title", .type = FIELD_STRING, .offset = AT(title), .max = TEXT_LIMIT },
	{ .name = "labels", .type = FIELD_JSON, .offset = AT(labels) },
	{ .name = "originator", .type = FIELD_STRING, .offset = AT(originator), .max = NAME_LIMIT },
	{ .name = "parentId", .type = FIELD_STRING, .offset = AT(parent_id), .max = NAME_LIMIT },
	{ .name = "origin", .type = FIELD_ENUM, .offset = AT(origin), .names = origins },
	{ .name = "taskId", .type = FIELD_STRING, .offset = AT(task_id), .max = NAME_LIMIT },
	{ .name = "threadId", .type = FIELD_STRING, .offset = AT(thread_id), .max = NAME_LIMIT },
	{ .name = "turnId", .type = FIELD_STRING, .offset = AT(turn_id), .max = NAME_LIMIT },
	{ .name = "runnerDestinationId",
	  .type = FIELD_STRING,
	  .offset = AT(runner_destination_id),
	  .max = NAME_LIMIT },
	{ .name = "runnerSessionId",
	  .type = FIELD_STRING,
	  .offset = AT(runner_session_id),
	  .max = NAME_LIMIT },
	{ .name = "backlogBytes",
	  .type = FIELD_U64,
	  .offset = AT(backlog),
	  .min = 1,
	  .max = (int64_t)RING_SIZE_MAX },
	{ .name = "stop", .type = FIELD_STRING, .offset = AT(stop), .max = STOP_PLAN_TEXT_MAX },
	{ .name = "grace", .type = FIELD_DURATION, .offset = AT(grace_ms), .seen = AT(has_grace) },
	{ .name = "timeout",
	  .type = FIELD_DURATION,
	  .offset = AT(timeout_ms),
	  .seen = AT(has_timeout) },
	{ .name = "ttl", .type = FIELD_DURATION, .offset = AT(ttl_ms), .seen = AT(has_ttl) },
	{ .name = "leftovers",
	  .type = FIELD_ENUM,
	  .offset = AT(leftovers),
	  .names = leftover_names },
	{ .name = "onDisconnect",
	  .type = FIELD_ENUM,
	  .offset = AT(on_disconnect),
	  .names = disconnects },
	{ .name = "withPid",
	  .type = FIELD_U64,
	  .offset = AT(with_pid),
	  .min = 1,
	  .max = INT32_MAX },
	{ .name = "rows", .type = FIELD_U64, .offset = AT(rows), .min = 1, .max = 10000 },
	{ .name = "cols", .type = FIELD_U64, .offset = AT(cols), .min = 1, .max = 10000 },
	{ .name = "ready", .type = FIELD_JSON, .offset = AT(ready) },
	{ .name = "replace", .type = FIELD_BOOL, .offset = AT(replace) },
	{ .name = "attach", .type = FIELD_JSON, .offset = AT(attach) },
	{ .name = "observe", .type = FIELD_JSON, .offset = AT(observe) },
	{ 0 },
};

/* --- the parts
 * ----------------------------------------------------------------------------------------- */

static int check_command(struct spawn_body *b, struct error *err)
{
	struct spec *spec = &b->request.spec;

	if (b->shell && b->command.n > 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "\"command\" and \"shell\" exclude each other");
	if (b->shell) {
		b->shell_argv[0] = (char *)"/bin/sh";
		b->shell_argv[1] = (char *)"-c";
		b->shell_argv[2] = b->shell;
		spec->argv = b->shell_argv;
		return 0;
	}
	if (b->command.n == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "\"command\" is missing: a list of at least one string");
	if (b->command.items[0][0] == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "\"command\": the first string is empty");
	spec->argv = b->command.items;
	return 0;
}

static int check_env(struct spawn_body *b, struct error *err)
{
	size_t n = 0;

	if (!b->has_env && !b->clear_env) {
		b->envp = login_env_make(b->kind == KIND_PTY);
	} else {
		b->envp = calloc(b->env.n + 1, sizeof(*b->envp));
		for (size_t i = 0; b->envp && i < b->env.n; i++) {
			const struct json_pair *p = &b->env.items[i];

			if (p->name[0] == 0 || strchr(p->name, '='))
				return error_set(err, ERROR_INVALID_ARGUMENT,
						 "env: \"%.100s\" is no name for a variable",
						 p->name);
			if (asprintf(&b->envp[n], "%s=%s", p->name, p->value) < 0)
				return error_set(err, ERROR_EXHAUSTED, "no memory");
			n++;
		}
	}
	if (!b->envp)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	b->request.spec.envp = b->envp;
	return 0;
}

static int check_cwd(struct spawn_body *b, struct error *err)
{
	if (b->cwd && b->cwd[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "cwd \"%s\" is relative; the daemon needs an absolute path",
				 b->cwd);
	if (!b->cwd)
		b->cwd = login_env_home(b->has_env || b->clear_env ? NULL : b->envp);
	if (!b->cwd)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	b->request.spec.cwd = b->cwd;
	return 0;
}

static int check_umask(struct spawn_body *b, struct error *err)
{
	char *end;
	unsigned long mask;

	if (!b->umask)
		return 0;
	mask = strtoul(b->umask, &end, 8);
	if (*end != 0 || b->umask[0] < '0' || b->umask[0] > '7' || mask > 0777)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "umask \"%s\": expected an octal number up to 0777, as text",
				 b->umask);
	b->request.spec.header.umask = (uint32_t)mask;
	return 0;
}

static int check_labels(const struct spawn_body *b, struct error *err)
{
	const char *key;
	json_t *value;

	if (b->labels && !json_is_object(b->labels))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "labels: expected an object of strings");
	if (json_object_size(b->labels) > LABELS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "labels: at most %d", LABELS_MAX);
	json_object_foreach(b->labels, key, value) if (
		!json_is_string(value) || strlen(key) > NAME_LIMIT || *key == 0 ||
		strchr(key, '=') || json_string_length(value) > TEXT_LIMIT ||
		strlen(json_string_value(value)) !=
			json_string_length(
				value)) return error_set(err, ERROR_INVALID_ARGUMENT,
							 "labels: \"%.100s\" must have a name of up to %d bytes without "
							 "`=` and a text of up to %d",
							 key, NAME_LIMIT, TEXT_LIMIT);
	return 0;
}

static int check_stop(struct spawn_body *b, struct stop_plan *ret, struct error *err)
{
	if (b->stop && parse_stop_plan(b->stop, ret) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "stop plan \"%s\": expected signals and waits, "
				 "as in \"INT 2s TERM 5s KILL\"",
				 b->stop);
	if (b->stop && b->has_grace)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "\"stop\" is the whole plan; leave out \"grace\"");
	if (b->has_grace)
		stop_plan_make(SIGTERM, b->grace_ms, ret);
	return 0;
}

struct attach_body {
	char *token;
	int mode;
};

static int check_attach(struct spawn_body *b, struct error *err)
{
	static const struct json_name modes[] = { { "drop-oldest", ATTACH_DROP_OLDEST },
						  { "block", ATTACH_BLOCK },
						  { 0 } };
	static const struct json_field attach_fields[] = {
		{ .name = "token",
		  .type = FIELD_STRING,
		  .offset = offsetof(struct attach_body, token),
		  .required = true },
		{ .name = "mode",
		  .type = FIELD_ENUM,
		  .offset = offsetof(struct attach_body, mode),
		  .names = modes },
		{ 0 },
	};
	struct attach_body a = { .mode = ATTACH_DROP_OLDEST };
	int r;

	if (!b->attach)
		return 0;
	if (!json_is_object(b->attach))
		return error_set(err, ERROR_INVALID_ARGUMENT, "attach: expected an object");
	r = json_read(b->attach, attach_fields, &a, err);
	if (r >= 0 && (text_hex_decode(a.token, b->request.token, sizeof(b->request.token)) < 0 ||
		       !(b->request.token[0] | b->request.token[1])))
		r = error_set(err, ERROR_INVALID_ARGUMENT, "attach.token: expected 32 hex digits");
	b->request.attach = (enum attach_mode)a.mode;
	json_read_done(attach_fields, &a);
	return r;
}

static void warn(struct spawn_body *b)
{
	json_t *warnings = json_array();

	spawn_limits_warn(&b->request.spec.header, b->has_nice ? &b->nice : NULL, warnings);
	if (json_array_size(warnings) > 0)
		json_object_set(b->meta, "warnings", warnings);
	json_decref(warnings);
}

/* --- what is kept of it
 * ---------------------------------------------------------------------------------- */

static void keep_text(json_t *meta, const char *key, const char *text)
{
	if (text)
		json_object_set_new(meta, key, json_string(text));
}

static void make_meta(struct spawn_body *b, const struct stop_plan *plan)
{
	json_t *meta = json_object(), *command = json_array();
	char text[STOP_PLAN_TEXT_MAX];

	for (char *const *p = b->request.spec.argv; *p; p++)
		json_array_append_new(command, json_bytes(*p, strlen(*p)));
	json_object_set_new(meta, "command", command);
	json_object_set_new(meta, "cwd", json_bytes(b->cwd, strlen(b->cwd)));
	keep_text(meta, "title", b->title);
	keep_text(meta, "originator", b->originator);
	keep_text(meta, "taskId", b->task_id);
	keep_text(meta, "threadId", b->thread_id);
	keep_text(meta, "turnId", b->turn_id);
	keep_text(meta, "runnerDestinationId", b->runner_destination_id);
	keep_text(meta, "runnerSessionId", b->runner_session_id);
	keep_text(meta, "origin", json_name_of(origins, b->origin));
	if (b->labels && json_object_size(b->labels) > 0)
		json_object_set(meta, "labels", b->labels);
	if (plan->n_steps > 0)
		keep_text(meta, "stop", stop_plan_format(plan, text));
	if (b->leftovers != LEFTOVERS_KILL)
		keep_text(meta, "leftovers", json_name_of(leftover_names, b->leftovers));
	b->meta = meta;
	b->request.meta = meta;
}

static uint64_t ring_size(uint64_t wanted)
{
	uint64_t size = RING_SIZE_MIN;

	while (size < wanted)
		size *= 2;
	return size;
}

/* As in other fields, null is as good as absent. */
static void forget_nulls(struct spawn_body *b)
{
	json_t **const any[] = { &b->limits, &b->labels, &b->attach, &b->ready, &b->observe };

	for (size_t i = 0; i < ARRAY_SIZE(any); i++)
		if (json_is_null(*any[i]))
			*any[i] = NULL;
}

static int check_observe(struct spawn_body *b, struct error *err)
{
	int r = b->observe ? observe_body_read(&b->observed, b->observe, err) : 0;

	return r < 0 ? r : observe_body_check_kind(&b->observed, b->kind == KIND_PTY, err);
}

int spawn_body_read(struct spawn_body *b, const json_t *json, uint64_t nofile_soft,
		    struct error *err)
{
	struct stop_plan plan = { 0 };
	int r;

	*b = (struct spawn_body){
		.kind = KIND_PIPE, .backlog = RING_SIZE_OUT, .rows = PTY_ROWS, .cols = PTY_COLS
	};
	spec_init(&b->request.spec);
	r = json_read(json, spawn_body_fields, b, err);
	forget_nulls(b);
	if (r >= 0)
		r = check_command(b, err);
	if (r >= 0)
		r = check_env(b, err);
	if (r >= 0)
		r = check_cwd(b, err);
	if (r >= 0)
		r = check_umask(b, err);
	if (r >= 0)
		r = spawn_limits_read(&b->request.spec.header, b->limits, nofile_soft, err);
	if (r >= 0)
		r = check_labels(b, err);
	if (r >= 0)
		r = check_stop(b, &plan, err);
	if (r >= 0)
		r = check_attach(b, err);
	if (r >= 0)
		r = check_observe(b, err);
	if (r < 0)
		return r;
	if (b->has_nice)
		b->request.spec.header.nice = (int32_t)b->nice;
	b->request.name = b->name;
	b->request.stdin_pipe = b->stdin_mode == STDIN_PIPE;
	b->request.merge = b->merge_stderr;
	b->request.pty = b->kind == KIND_PTY;
	b->request.rows = (uint16_t)b->rows;
	b->request.cols = (uint16_t)b->cols;
	b->request.backlog = ring_size(b->backlog);
	b->request.timeout_ms = b->has_timeout ? MAX(b->timeout_ms, 1ULL) : 0;
	b->request.has_ttl = b->has_ttl;
	b->request.ttl_ms = b->ttl_ms;
	b->request.end_with_client = b->on_disconnect;
	b->request.with_pid = (pid_t)b->with_pid;
	make_meta(b, &plan);
	warn(b);
	return 0;
}

void spawn_body_done(struct spawn_body *b)
{
	json_read_done(spawn_body_fields, b);
	observe_body_done(&b->observed);
	text_list_free(b->envp);
	json_decref(b->meta);
}
