/* SPDX-License-Identifier: Apache-2.0 */
/* end.c - stop, kill, rm and purge. */
#include "cli/commands.h"
#include "cli/targets.h"
#include "client/uri.h"
#include <string.h>

#define TARGET_MAX 4096U

/* --- stop ------------------------------------------------------------------------------------ */

struct stop_values {
	const char *grace, *signal, *reason;
	struct selection which;
};

static const struct option_spec stop_specs[] = {
	{ .name = "grace",
	  .letter = 't',
	  .argument = "TIME",
	  .help = "how long to wait before KILL",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct stop_values, grace) },
	{ .name = "signal",
	  .letter = 's',
	  .argument = "SIGNAL",
	  .help = "the first signal (default: the session's plan)",
	  .type = OPTION_SIGNAL,
	  .offset = offsetof(struct stop_values, signal) },
	{ .name = "reason",
	  .argument = "TEXT",
	  .help = "why, for those who look later",
	  .type = OPTION_TEXT,
	  .offset = offsetof(struct stop_values, reason) },
	SELECTION_OPTIONS(struct stop_values, which, "all that run"),
	{ 0 },
};

const struct option_table stop_options = { stop_specs, sizeof(struct stop_values) };

static int format_stop(const char *id, struct buffer *b)
{
	buffer_init(b, TARGET_MAX);
	return uri_session(b, id, "/stop");
}

/* Asks for all stops before it waits for any: their graces pass at the same time. A connection that
 * cannot be made, or breaks, is no loss: the request is made again below. */
static void ask(struct cli *cli, const struct targets *t, const char *body,
		struct http_client **asked)
{
	for (size_t i = 1; i < t->n; i++) {
		_cleanup_(buffer_done) struct buffer target;
		struct http_request rq = { .method = "POST", .body = body };

		if (format_stop(t->ids[i], &target) < 0 ||
		    http_client_open(client_paths(cli->client)->socket, &asked[i], NULL) < 0)
			continue;
		rq.target = buffer_text(&target);
		rq.body_size = strlen(body);
		http_client_send(asked[i], &rq, NULL);
	}
}

static int stop_one(struct cli *cli, const char *id, const json_t *body, struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	struct client_request rq = { .method = "POST", .body = body };

	if (format_stop(id, &target) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "the name of the session is too long");
	rq.target = buffer_text(&target);
	return client_call(cli->client, &rq, NULL, e);
}

static int stop_all(struct cli *cli, const struct targets *t, const json_t *body)
{
	_cleanup_(freep) struct http_client **asked = calloc(t->n + 1, sizeof(*asked));
	_cleanup_(freep) char *text = json_dumps(body, JSON_COMPACT);
	struct error e = { 0 };
	int first = 0, status;

	if (asked && text)
		ask(cli, t, text, asked);
	for (size_t i = 0; i < t->n; i++) {
		/* asking again for what was asked already changes nothing, and waits for the end */
		if (stop_one(cli, t->ids[i], body, &e) < 0) {
			status = cli_fail(cli, &e);
			first = first ? first : status;
		} else {
			puts(t->ids[i]);
		}
	}
	for (size_t i = 0; asked && i < t->n; i++)
		http_client_close(asked[i]);
	return first;
}

int cmd_stop(struct cli *cli, const void *values, int n, char **operands)
{
	const struct stop_values *v = values;
	_cleanup_(targets_done) struct targets t = { 0 };
	struct error e = { 0 };
	json_t *body;
	int status;

	if (!cli_client(cli, &e) || targets_find(cli, operands, n, &v->which, false, &t, &e) < 0)
		return cli_fail(cli, &e);
	body = json_pack("{s:s*, s:s*, s:s*}", "grace", v->grace, "signal", v->signal, "reason",
			 v->reason);
	if (!body)
		return cli_usage(cli, "the reason is not UTF-8");
	status = stop_all(cli, &t, body);
	json_decref(body);
	return status;
}

/* --- kill ------------------------------------------------------------------------------------ */

struct kill_values {
	const char *signal;
	struct selection which;
};

static const struct option_spec kill_specs[] = {
	{ .name = "signal",
	  .letter = 's',
	  .argument = "SIGNAL",
	  .help = "which (default: KILL)",
	  .type = OPTION_SIGNAL,
	  .offset = offsetof(struct kill_values, signal) },
	SELECTION_OPTIONS(struct kill_values, which, "all that run"),
	{ 0 },
};

const struct option_table kill_options = { kill_specs, sizeof(struct kill_values) };

static int kill_one(struct cli *cli, const char *id, const void *values, struct error *e)
{
	const struct kill_values *v = values;
	_cleanup_(buffer_done) struct buffer target;
	struct client_request rq = { .method = "POST", .once = true };
	json_t *body;
	int r;

	buffer_init(&target, TARGET_MAX);
	if (uri_session(&target, id, "/kill") < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "the name of the session is too long");
	body = json_pack("{s:s}", "signal", v->signal ? v->signal : "KILL");
	rq.target = buffer_text(&target);
	rq.body = body;
	r = client_call(cli->client, &rq, NULL, e);
	json_decref(body);
	if (r == 0)
		puts(id);
	return r;
}

int cmd_kill(struct cli *cli, const void *values, int n, char **operands)
{
	const struct kill_values *v = values;
	struct error e = { 0 };

	if (!cli_client(cli, &e))
		return cli_fail(cli, &e);
	return targets_each(cli, operands, n, &v->which, false, kill_one, v);
}

/* --- rm and purge ---------------------------------------------------------------------------- */

struct rm_values {
	bool force;
	struct selection which;
};

static const struct option_spec rm_specs[] = {
	{ .name = "force",
	  .letter = 'f',
	  .help = "stop those that still run first",
	  .offset = offsetof(struct rm_values, force) },
	SELECTION_OPTIONS(struct rm_values, which, "all"),
	{ 0 },
};

const struct option_table rm_options = { rm_specs, sizeof(struct rm_values) };

static int rm_one(struct cli *cli, const char *id, const void *values, struct error *e)
{
	const struct rm_values *v = values;
	int r = cli_call_session(cli, "DELETE", id, v->force ? "?force=true" : "", NULL, NULL, e);

	if (r == 0)
		puts(id);
	return r;
}

int cmd_rm(struct cli *cli, const void *values, int n, char **operands)
{
	const struct rm_values *v = values;

	/* as rm(1): `rm -f $(reeve ps -aq)` is no mistake when there is nothing */
	if (v->force && n == 0 && !selection_given(&v->which))
		return 0;
	return targets_each(cli, operands, n, &v->which, true, rm_one, v);
}

struct purge_values {
	struct selection which;
};

static const struct option_spec purge_specs[] = {
	SELECTION_OPTIONS(struct purge_values, which, "only those"),
	{ 0 },
};

const struct option_table purge_options = { purge_specs, sizeof(struct purge_values) };

static json_t *purge_body(const struct selection *which)
{
	json_t *labels = which->labels.n > 0 ? json_array() : NULL;

	for (unsigned i = 0; i < which->labels.n; i++)
		if (json_array_append_new(labels, json_string(which->labels.items[i])) < 0) {
			json_decref(labels);
			return NULL;
		}
	return json_pack("{s:s*, s:s*, s:s*, s:o*}", "originator", which->originator, "status",
			 which->status, "olderThan", which->older_than, "label", labels);
}

int cmd_purge(struct cli *cli, const void *values, int n, char **operands)
{
	const struct purge_values *v = values;
	json_t *body = purge_body(&v->which), *answer = NULL;
	struct error e = { 0 };

	(void)n;
	(void)operands;
	if (!body)
		return cli_usage(cli, "what describes the sessions is not UTF-8");
	if (cli_call(cli, "POST", "/v1/sessions/purge", body, &answer, &e) < 0)
		return cli_fail(cli, &e);
	printf("%lld removed\n", (long long)json_integer_value(json_object_get(answer, "count")));
	json_decref(answer);
	return 0;
}
