/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run.h"
#include "base/random.h"
#include "base/slice.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/foreground.h"
#include "cli/id_file.h"
#include "cli/leftovers.h"
#include "cli/logout_hint.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/terminal_client.h"
#include "cli/terminal_signals.h"
#include "cli/until.h"
#include "client/uri.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define TARGET_MAX  4096U
#define ATTEMPTS    3    /* of --attach, against others that make and end the same session */
#define READY_LINES "30" /* shown of a session that did not become ready */

/* --- the spawn ------------------------------------------------------------------------------- */

static int report_spawn(struct cli *cli, const struct error *e)
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

/* As a shell: 127 for what is not there, 126 for what cannot be executed. -EEXIST when somebody
 * else was faster, and what he made is as good. */
static int spawn_failed(struct cli *cli, const struct run_values *v, const struct error *e)
{
	if (v->attach && e->code == ERROR_ALREADY_EXISTS)
		return -EEXIST;
	return report_spawn(cli, e);
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

static int ask_spawn(struct cli *cli, const struct run_values *v, json_t *request, char **ret_id,
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

/* Makes the session, and notes its id where it is to be noted. */
static int spawn(struct cli *cli, const struct run_values *v, json_t *request, char **ret_id,
		 json_t **ret_session, struct error *e)
{
	_cleanup_(id_file_done) struct id_file file = ID_FILE_INIT;
	int r = v->id_file ? id_file_open(&file, v->id_file, e) : 0;

	if (r == 0)
		r = ask_spawn(cli, v, request, ret_id, ret_session, e);
	if (r < 0)
		return r;
	last_store(client_paths(cli->client)->dir, *ret_id);
	return v->id_file ? id_file_write(&file, *ret_id, e) : 0;
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

	slice_shorten(); /* the command that it starts does not hold it up */
	if (spawn(cli, v, request, &id, &session, &e) < 0) {
		json_decref(session);
		return spawn_failed(cli, v, &e);
	}
	ready = json_object_get(session, "ready");
	if (ready &&
	    !until_fired(json_object_get(json_object_get(request, "ready"), "until"), ready))
		status = not_ready(cli, id, ready);
	else
		puts(id);
	json_decref(session);
	fflush(stdout);
	logout_hint(client_paths(cli->client));
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

/* Its client from before the first byte on. In a pipe nothing is lost; a terminal that cannot
 * follow is not waited for. */
static int put_attach(json_t *request, const struct run_values *v, struct attach_options *o,
		      struct error *e)
{
	char token[2 * FRAME_TOKEN + 1];

	if (make_token(v->key, o->token) < 0)
		return error_set(e, ERROR_INTERNAL, "no random bytes");
	o->ring = v->backlog;
	if (v->key)
		o->from = "start";
	return request_put(request, "attach",
			   json_pack("{s:s, s:s}", "token",
				     text_hex(o->token, sizeof(o->token), token), "mode", o->mode),
			   e);
}

static int show_here(struct cli *cli, const struct run_values *v,
		     const struct attach_options *attach)
{
	struct foreground_options o = {
		.attach = *attach,
		.input = run_wants_input(v),
		.owner = true,
		.stops = strcmp(run_on_disconnect(v), "stop") == 0,
	};

	return foreground_run(cli, &o, client_take_http(cli->client));
}

static int show_terminal(struct cli *cli, const struct terminal_keys *keys,
			 const struct attach_options *attach)
{
	struct terminal_client_options o = { .attach = *attach, .keys = *keys, .owner = true };

	return terminal_client_run(cli, &o, client_take_http(cli->client));
}

/* Shows on stderr what it does. The pid of who does that; 0 for nobody. */
static pid_t watch(struct cli *cli, const struct run_values *v, const char *id)
{
	struct watch w = {
		.session = id,
		.subscriber = "sub-1",
		.follow = true,
		.json = v->watch_json,
		.filter = { .path = v->watch_path, .failed = v->watch_failed },
		.to = stderr,
	};

	return v->watch ? watch_aside(cli, &w) : 0;
}

/* When the command has ended: waits for its last events, and sums them up. */
static void end_watch(struct cli *cli, const struct run_values *v, const char *id, pid_t watcher)
{
	json_t *answer = NULL;
	struct error e = { 0 };

	if (watcher <= 0 && !v->report)
		return;
	/* What it leaves behind on purpose is not waited for. */
	if (cli_call_session(cli, "POST", id, "/wait",
			     json_pack("{s:[{s:b}], s:s}", "until", "tree", 1, "timeout", "2s"),
			     &answer, &e) < 0 ||
	    json_is_true(json_object_get(answer, "treeAlive"))) {
		if (watcher > 0)
			kill(watcher, SIGKILL);
	}
	json_decref(answer);
	while (watcher > 0 && waitpid(watcher, NULL, 0) < 0 && errno == EINTR)
		;
	if (v->report && report_show(cli, id, "sub-1", REPORT_TEXT, false, stderr, &e) < 0)
		cli_print_error(cli, &e);
}

/* --rm: the daemon would remove it soon; but who runs the next command is not to see it any more.
 * One that goes on, or whose leftovers do, stays until then. */
static void remove_now(struct cli *cli, const char *id)
{
	struct error e;

	(void)cli_call_session(cli, "DELETE", id, "", NULL, NULL, &e);
}

/* The command has ended, as far as it was watched. */
static void leave(struct cli *cli, const struct run_values *v, const char *id)
{
	if (v->leftovers && strcmp(v->leftovers, "fail") == 0)
		leftovers_tell(cli, id);
	if (v->remove)
		remove_now(cli, id);
}

static int run_here(struct cli *cli, const struct run_values *v, json_t *request)
{
	_cleanup_(freep) char *id = NULL;
	bool wants = run_wants_terminal(v), terminal = wants && terminal_is_here();
	struct attach_options o = {
		.streams = wants      ? "pty"
			   : v->merge ? "stdout"
				      : "stdout,stderr",
		.mode = terminal ? "drop-oldest" : "block",
	};
	struct terminal_keys keys;
	json_t *session = NULL;
	struct error e = { 0 };
	pid_t watcher;
	int r;

	if (terminal_keys_parse(&keys, v->detach_keys ? v->detach_keys : TERMINAL_KEYS_DEFAULT,
				&e) < 0)
		return cli_usage(cli, "%s", e.message);
	if (put_attach(request, v, &o, &e) < 0)
		return cli_fail(cli, &e);
	if (terminal)
		terminal_signals_hold(true);
	else
		foreground_hold_signals(true);
	r = spawn(cli, v, request, &id, &session, &e);
	json_decref(session);
	if (r < 0)
		return spawn_failed(cli, v, &e);
	o.session = id;
	o.socket_path = client_paths(cli->client)->socket;
	watcher = watch(cli, v, id);
	r = terminal ? show_terminal(cli, &keys, &o) : show_here(cli, v, &o);
	end_watch(cli, v, id, watcher);
	if (r != EXIT_UNREACHABLE)
		leave(cli, v, id);
	return r;
}

/* --attach: goes to the session of that name when its command runs. False when none does. */
static bool run_there(struct cli *cli, const struct run_values *v, int *ret_status)
{
	_cleanup_(id_file_done) struct id_file file = ID_FILE_INIT;
	json_t *session = NULL;
	struct error e = { 0 };
	const char *name, *id;
	bool found = false;

	if (cli_call_session(cli, "GET", v->name, "", NULL, &session, &e) < 0) {
		found = e.code != ERROR_NOT_FOUND;
		*ret_status = found ? cli_fail(cli, &e) : 0;
		return found;
	}
	name = json_string_value(json_object_get(session, "name"));
	id = json_string_value(json_object_get(session, "processId"));
	found = name && id && strcmp(name, v->name) == 0 && !json_object_get(session, "exit");
	if (found && v->id_file &&
	    (id_file_open(&file, v->id_file, &e) < 0 || id_file_write(&file, id, &e) < 0))
		*ret_status = cli_fail(cli, &e);
	else if (found && v->detach)
		*ret_status = puts(id) < 0 ? EXIT_FAILED : 0;
	else if (found)
		*ret_status = attach_to(cli, id);
	json_decref(session);
	return found;
}

int cmd_run(struct cli *cli, const void *values, int n, char **operands)
{
	const struct run_values *v = values;
	json_t *request = json_object();
	struct error e = { 0 };
	int status = -EEXIST;

	if (run_check(v, &e) < 0 || request_make(request, v, n, operands, &e) < 0)
		status = cli_usage(cli, "%s", e.message);
	for (int i = 0; i < ATTEMPTS && status == -EEXIST; i++)
		if (!v->attach || !run_there(cli, v, &status))
			status = v->detach ? run_detached(cli, v, request)
					   : run_here(cli, v, request);
	json_decref(request);
	if (status != -EEXIST)
		return status;
	return cli_fail(cli, &(struct error){ ERROR_ALREADY_EXISTS,
					      "its command has ended, but processes of it keep the "
					      "name; end them with `reeve stop`" });
}
