/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/foreground.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct run_values {
	bool detach, pipe, clear_env, merge, stdin_pipe, remove;
	const char *name, *cwd, *line, *grace, *stop_signal, *stop, *title, *key, *timeout;
	const char *originator;
	struct words env, env_files, unset, labels;
	uint64_t backlog;
};

#define AT(m) offsetof(struct run_values, m)

static const struct option_spec specs[] = {
	{ .name = "detach",
	  .letter = 'd',
	  .help = "leave it running, print its id",
	  .offset = AT(detach) },
	{ .name = "command",
	  .letter = 'c',
	  .argument = "LINE",
	  .help = "run a shell line (sh -c) instead of a command",
	  .type = OPTION_TEXT,
	  .offset = AT(line) },
	{ .name = "name",
	  .argument = "NAME",
	  .help = "its name; else one is made from the command",
	  .type = OPTION_TEXT,
	  .offset = AT(name) },
	{ .name = "title",
	  .argument = "TEXT",
	  .help = "your own words for it, shown in lists",
	  .type = OPTION_TEXT,
	  .offset = AT(title) },
	{ .name = "label",
	  .letter = 'l',
	  .argument = "KEY=VALUE",
	  .help = "mark it, to find it by (repeatable)",
	  .type = OPTION_WORDS,
	  .offset = AT(labels) },
	{ .name = "originator",
	  .argument = "NAME",
	  .help = "who asks for it, to find it by",
	  .type = OPTION_TEXT,
	  .offset = AT(originator) },
	{ .name = "cwd",
	  .argument = "DIR",
	  .help = "its working directory (default: this one)",
	  .type = OPTION_TEXT,
	  .offset = AT(cwd) },
	{ .name = "env",
	  .letter = 'e',
	  .argument = "KEY[=VALUE]",
	  .help = "set a variable, or pass yours on (repeatable)",
	  .type = OPTION_WORDS,
	  .offset = AT(env) },
	{ .name = "env-file",
	  .argument = "FILE",
	  .help = "set the variables in a file (repeatable)",
	  .type = OPTION_WORDS,
	  .offset = AT(env_files) },
	{ .name = "unset",
	  .argument = "KEY",
	  .help = "leave a variable out (repeatable)",
	  .type = OPTION_WORDS,
	  .offset = AT(unset) },
	{ .name = "clear-env", .help = "start without any variable", .offset = AT(clear_env) },
	{ .name = "pipe", .help = "three pipes, no terminal (default)", .offset = AT(pipe) },
	{ .name = "merge-stderr",
	  .help = "stderr goes into stdout, in exact order",
	  .offset = AT(merge) },
	{ .name = "stdin",
	  .help = "with -d: keep stdin open for `reeve send`",
	  .offset = AT(stdin_pipe) },
	{ .name = "stop",
	  .argument = "PLAN",
	  .help = "how to stop it (default: \"TERM 5s KILL\")",
	  .type = OPTION_TEXT,
	  .offset = AT(stop) },
	{ .name = "stop-signal",
	  .argument = "SIGNAL",
	  .help = "the first signal of that plan",
	  .type = OPTION_SIGNAL,
	  .offset = AT(stop_signal) },
	{ .name = "grace",
	  .argument = "TIME",
	  .help = "how long it then waits before KILL",
	  .type = OPTION_DURATION,
	  .offset = AT(grace) },
	{ .name = "timeout",
	  .argument = "TIME",
	  .help = "stop it after this time; exit status 124",
	  .type = OPTION_DURATION,
	  .offset = AT(timeout) },
	{ .name = "backlog",
	  .argument = "SIZE",
	  .help = "output kept of each stream (default: 1M)",
	  .type = OPTION_SIZE,
	  .offset = AT(backlog) },
	{ .name = "key",
	  .argument = "KEY",
	  .help = "run it once: the same key again gives the same session",
	  .type = OPTION_TEXT,
	  .offset = AT(key) },
	{ .name = "rm", .help = "remove it when it has ended", .offset = AT(remove) },
	{ 0 },
};

const struct option_table run_options = { specs, sizeof(struct run_values) };

/* --- the request ----------------------------------------------------------------------------- */

/* Steals `value`. */
static int put(json_t *request, const char *name, json_t *value, struct error *e)
{
	if (json_object_set_new(request, name, value) == 0)
		return 0;
	return error_set(e, ERROR_INVALID_ARGUMENT, "%s: not UTF-8, or no memory for it", name);
}

static int put_text(json_t *request, const char *name, const char *text, struct error *e)
{
	return text ? put(request, name, json_string(text), e) : 0;
}

static int put_command(json_t *request, const struct run_values *v, int n, char **words,
		       struct error *e)
{
	json_t *list;

	if (v->line && n > 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "-c LINE and a command exclude each other");
	if (v->line)
		return put(request, "shell", json_bytes(v->line, strlen(v->line)), e);
	if (n == 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "COMMAND is missing");
	list = json_array();
	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_bytes(words[i], strlen(words[i])));
	return put(request, "command", list, e);
}

static int put_labels(json_t *request, const struct words *labels, struct error *e)
{
	json_t *object;

	if (labels->n == 0)
		return 0;
	object = json_object();
	for (unsigned i = 0; i < labels->n; i++) {
		const char *label = labels->items[i];
		const char *equals = strchr(label, '=');

		if (!equals || equals == label ||
		    json_object_setn_new(object, label, (size_t)(equals - label),
					 json_string(equals + 1)) < 0) {
			json_decref(object);
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "--label: \"%s\" is not KEY=VALUE", label);
		}
	}
	return put(request, "labels", object, e);
}

static int put_stop(json_t *request, const struct run_values *v, struct error *e)
{
	if (v->stop && (v->stop_signal || v->grace))
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "--stop is the whole plan: no --stop-signal or --grace beside it");
	if (v->stop_signal)
		return put(request, "stop",
			   json_sprintf("%s %s KILL", v->stop_signal, v->grace ? v->grace : "5s"),
			   e);
	if (v->stop)
		return put_text(request, "stop", v->stop, e);
	return put_text(request, "grace", v->grace, e);
}

/* Whether stdin of the command is just nothing, as it is for the caller. */
static bool stdin_is_null(void)
{
	struct stat st;

	return fstat(STDIN_FILENO, &st) < 0 || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

static bool wants_input(const struct run_values *v)
{
	return v->detach ? v->stdin_pipe : !stdin_is_null();
}

static int put_all(json_t *request, const struct run_values *v, int n, char **words,
		   struct error *e)
{
	const struct context_options context = {
		.clear = v->clear_env,
		.files = &v->env_files,
		.unset = &v->unset,
		.set = &v->env,
		.cwd = v->cwd,
	};
	const struct {
		const char *name;
		const char *text;
	} texts[] = {
		{ "kind", "pipe" },
		{ "stdin", wants_input(v) ? "pipe" : "null" },
		{ "name", v->name },
		{ "title", v->title },
		{ "originator", v->originator },
		{ "timeout", v->timeout },
		{ "ttl", v->remove ? "0s" : NULL },
	};
	int r = put_command(request, v, n, words, e);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
		r = put_text(request, texts[i].name, texts[i].text, e);
	if (r == 0)
		r = put_labels(request, &v->labels, e);
	if (r == 0)
		r = put_stop(request, v, e);
	if (r == 0 && v->merge)
		r = put(request, "mergeStderr", json_true(), e);
	if (r == 0 && v->backlog > 0)
		r = put(request, "backlogBytes", json_integer((json_int_t)v->backlog), e);
	return r < 0 ? r : context_add(request, &context, e);
}

/* --- the spawn ------------------------------------------------------------------------------- */

/* As a shell: 127 for what is not there, 126 for what cannot be executed. */
static int spawn_failed(struct cli *cli, const struct error *e)
{
	const json_t *details = cli->client ? client_error_details(cli->client) : NULL;
	const char *step = json_string_value(json_object_get(details, "step"));
	json_int_t errnum = json_integer_value(json_object_get(details, "errno"));
	int status = cli_fail(cli, e);

	if (!step)
		return status;
	if (strcmp(step, "execve") != 0)
		return EXIT_FAILED;
	return errnum == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int spawn(struct cli *cli, const json_t *request, const char *key, char **ret_id,
		 struct error *e)
{
	char own_key[2 * FRAME_TOKEN + 1];
	uint8_t random[FRAME_TOKEN];
	struct client *client = cli_client(cli, e);
	struct client_request rq = { .method = "POST", .target = "/v1/sessions", .body = request };
	json_t *session = NULL;
	const char *id;
	int r;

	if (!client)
		return -EIO;
	r = random_bytes(random, sizeof(random));
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "getrandom");
	rq.key = key ? key : text_hex(random, sizeof(random), own_key);
	r = client_call(client, &rq, &session, e);
	if (r < 0)
		return r;
	id = json_string_value(json_object_get(session, "processId"));
	*ret_id = id ? strdup(id) : NULL;
	json_decref(session);
	return *ret_id ? 0 : error_set(e, ERROR_INTERNAL, "the daemon's answer names no session");
}

static int run_detached(struct cli *cli, const struct run_values *v, const json_t *request)
{
	_cleanup_(freep) char *id = NULL;
	struct error e = { 0 };

	if (spawn(cli, request, v->key, &id, &e) < 0)
		return spawn_failed(cli, &e);
	puts(id);
	return 0;
}

/* The same key is to make the same request, of which the token is a part. */
static int make_token(const char *key, uint8_t token[FRAME_TOKEN])
{
	uint64_t hash[2];

	if (!key)
		return random_bytes(token, FRAME_TOKEN);
	text_hash128(key, strlen(key), hash);
	memcpy(token, hash, FRAME_TOKEN);
	return 0;
}

static int run_here(struct cli *cli, const struct run_values *v, json_t *request)
{
	_cleanup_(freep) char *id = NULL;
	char token[2 * FRAME_TOKEN + 1];
	struct foreground_options o = {
		.attach = { .streams = v->merge ? "stdout" : "stdout,stderr", .mode = "block" },
		.input = wants_input(v),
		.owner = true,
	};
	struct error e = { 0 };
	int r = make_token(v->key, o.attach.token);

	if (r < 0)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "no random bytes" });
	if (v->key)
		o.attach.from = "start";
	text_hex(o.attach.token, sizeof(o.attach.token), token);
	if (put(request, "attach", json_pack("{s:s, s:s}", "token", token, "mode", "block"), &e) <
	    0)
		return cli_fail(cli, &e);
	foreground_hold_signals(true);
	if (spawn(cli, request, v->key, &id, &e) < 0)
		return spawn_failed(cli, &e);
	o.attach.session = id;
	o.attach.socket_path = client_paths(cli->client)->socket;
	return foreground_run(cli, &o, client_take_http(cli->client));
}

int cmd_run(struct cli *cli, const void *values, int n, char **operands)
{
	const struct run_values *v = values;
	json_t *request = json_object();
	struct error e = { 0 };
	int status;

	if (put_all(request, v, n, operands, &e) < 0)
		status = cli_usage(cli, "%s", e.message);
	else if (v->detach)
		status = run_detached(cli, v, request);
	else
		status = run_here(cli, v, request);
	json_decref(request);
	return status;
}
