/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run.h"
#include "base/random.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/foreground.h"
#include "cli/until.h"
#include "client/uri.h"
#include <errno.h>
#include <string.h>

#define TARGET_MAX  4096U
#define READY_LINES "30" /* shown of a session that did not become ready */

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
	{ .name = "leftovers",
	  .argument = "WHAT",
	  .help = "processes left when it has ended: kill (default), keep, fail",
	  .choices = "kill keep fail",
	  .type = OPTION_TEXT,
	  .offset = AT(leftovers) },
	{ .name = "on-disconnect",
	  .argument = "WHAT",
	  .help = "when this client dies: keep it (default on a terminal) or stop it",
	  .choices = "keep stop",
	  .type = OPTION_TEXT,
	  .offset = AT(on_disconnect) },
	{ .name = "with-pid",
	  .argument = "PID",
	  .help = "stop it when that process is gone",
	  .type = OPTION_NUMBER,
	  .offset = AT(with_pid) },
	{ .name = "no-parent",
	  .help = "inside a session: do not end with it",
	  .offset = AT(no_parent) },
	{ .name = "ready",
	  .argument = "WHAT",
	  .help = "with -d: return once port=N, log=RE, http=URL, ... (repeatable)",
	  .choices = UNTIL_CHOICES,
	  .type = OPTION_WORDS,
	  .offset = AT(ready) },
	{ .name = "ready-timeout",
	  .argument = "TIME",
	  .help = "for --ready (default: 30s); exit status 124",
	  .type = OPTION_DURATION,
	  .offset = AT(ready_timeout) },
	{ .name = "backlog",
	  .argument = "SIZE",
	  .help = "output kept of each stream (default: 1M)",
	  .type = OPTION_SIZE,
	  .offset = AT(backlog) },
	{ .name = "replace",
	  .help = "stop the session that has the name first",
	  .offset = AT(replace) },
	{ .name = "key",
	  .argument = "KEY",
	  .help = "run it once: the same key again gives the same session",
	  .type = OPTION_TEXT,
	  .offset = AT(key) },
	{ .name = "rm", .help = "remove it when it has ended", .offset = AT(remove) },
	{ 0 },
};

const struct option_table run_options = { specs, sizeof(struct run_values) };

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

/* The session this runs in, when it is one of the same daemon. */
static int put_parent(struct cli *cli, const struct run_values *v, json_t *request, struct error *e)
{
	const char *parent = getenv("REEVE_SESSION");
	json_t *session = NULL;

	if (!parent || !*parent || v->no_parent)
		return 0;
	if (cli_call_session(cli, "GET", parent, "", NULL, &session, e) < 0)
		return client_unreachable(cli->client) ? -EHOSTDOWN : 0;
	json_decref(session);
	return request_put(request, "parentId", json_string(parent), e);
}

static void print_warnings(const json_t *session)
{
	json_t *warning;
	size_t i;

	json_array_foreach(json_object_get(session, "warnings"), i, warning)
		fprintf(stderr, "reeve: warning: %s\n", json_string_value(warning));
}

static int spawn(struct cli *cli, const struct run_values *v, json_t *request, char **ret_id,
		 json_t **ret_session, struct error *e)
{
	char own_key[2 * FRAME_TOKEN + 1];
	uint8_t random[FRAME_TOKEN];
	struct client *client = cli_client(cli, e);
	struct client_request rq = { .method = "POST", .target = "/v1/sessions", .body = request };
	const char *id;
	int r = client ? put_parent(cli, v, request, e) : -EIO;

	if (r < 0)
		return r;
	r = random_bytes(random, sizeof(random));
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "getrandom");
	rq.key = v->key ? v->key : text_hex(random, sizeof(random), own_key);
	r = client_call(client, &rq, ret_session, e);
	if (r < 0)
		return r;
	id = json_string_value(json_object_get(*ret_session, "processId"));
	*ret_id = id ? strdup(id) : NULL;
	print_warnings(*ret_session);
	return *ret_id ? 0 : error_set(e, ERROR_INTERNAL, "the daemon's answer names no session");
}

/* It runs, but what it was to be ready for did not come: shows what it says. */
static int not_ready(struct cli *cli, const char *id, const json_t *ready)
{
	const char *fired = json_string_value(json_object_get(ready, "fired"));
	bool late = fired && strcmp(fired, "timeout") == 0;
	_cleanup_(buffer_done) struct buffer target;
	_cleanup_(buffer_done) struct buffer lines;
	struct error e;

	buffer_init(&target, TARGET_MAX);
	buffer_init(&lines, CLIENT_ANSWER_MAX);
	if (uri_session(&target, id, "/logs?format=raw&tail=" READY_LINES) == 0 &&
	    cli_get_text(cli, buffer_text(&target), &lines, &e) == 0)
		fwrite(lines.data, 1, lines.size, stderr);
	fprintf(stderr, "reeve: %s %s\n", id,
		late ? "is not ready in time; it still runs" : "has ended before it was ready");
	return late ? EXIT_TIMED_OUT : EXIT_FAILED;
}

static int run_detached(struct cli *cli, const struct run_values *v, json_t *request)
{
	_cleanup_(freep) char *id = NULL;
	json_t *session = NULL, *ready;
	struct error e = { 0 };
	int status = 0;

	if (spawn(cli, v, request, &id, &session, &e) < 0) {
		json_decref(session);
		return spawn_failed(cli, &e);
	}
	ready = json_object_get(session, "ready");
	if (ready &&
	    !until_fired(json_object_get(json_object_get(request, "ready"), "until"), ready))
		status = not_ready(cli, id, ready);
	else
		puts(id);
	json_decref(session);
	return status;
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
		.input = run_wants_input(v),
		.owner = true,
	};
	json_t *session = NULL;
	struct error e = { 0 };
	int r = make_token(v->key, o.attach.token);

	if (r < 0)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "no random bytes" });
	o.attach.ring = v->backlog;
	if (v->key)
		o.attach.from = "start";
	text_hex(o.attach.token, sizeof(o.attach.token), token);
	if (request_put(request, "attach", json_pack("{s:s, s:s}", "token", token, "mode", "block"),
			&e) < 0)
		return cli_fail(cli, &e);
	foreground_hold_signals(true);
	r = spawn(cli, v, request, &id, &session, &e);
	json_decref(session);
	if (r < 0)
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

	if (request_make(request, v, n, operands, &e) < 0)
		status = cli_usage(cli, "%s", e.message);
	else if (v->detach)
		status = run_detached(cli, v, request);
	else
		status = run_here(cli, v, request);
	json_decref(request);
	return status;
}
