/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/id_file.h"
#include "client/daemon.h"
#include "client/uri.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define TARGET_MAX 4096U
#define LOG_LINES  30

struct client *cli_client(struct cli *cli, struct error *e)
{
	if (!cli->client)
		client_new(&cli->client, cli->client_flags, e);
	return cli->client;
}

int cli_call(struct cli *cli, const char *method, const char *target, json_t *body, json_t **ret,
	     struct error *e)
{
	struct client *client = cli_client(cli, e);
	struct client_request rq = { .method = method, .target = target, .body = body };
	int r = client ? client_call(client, &rq, ret, e) : -EIO;

	json_decref(body);
	return r;
}

int cli_get_text(struct cli *cli, const char *target, struct buffer *b, struct error *e)
{
	struct client *client = cli_client(cli, e);
	struct client_request rq = { .method = "GET", .target = target };
	const struct http_head *head;
	int r = client ? client_open(client, &rq, &head, e) : -EIO;

	return r < 0 ? r : http_client_body_all(client_http(client), b, e);
}

int cli_call_session(struct cli *cli, const char *method, const char *session, const char *rest,
		     json_t *body, json_t **ret, struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	_cleanup_(freep) char *id = NULL;
	int r = cli_session(cli, session, &id, e);

	buffer_init(&target, TARGET_MAX);
	if (r == 0) {
		r = uri_session(&target, id, rest);
		if (r < 0)
			error_set(e, ERROR_INVALID_ARGUMENT, "the name of the session is too long");
	}
	if (r == 0)
		return cli_call(cli, method, buffer_text(&target), body, ret, e);
	json_decref(body);
	return r;
}

void cli_print_log(const struct paths *paths)
{
	_cleanup_(freep) char *tail = NULL;

	if (daemon_log_tail(paths, LOG_LINES, &tail) == 0 && *tail)
		fprintf(stderr, "The end of %s:\n%s", paths->log, tail);
	else
		fprintf(stderr, "There is nothing in its log, %s\n", paths->log);
}

void cli_print_error(struct cli *cli, const struct error *e)
{
	fflush(stdout);
	fprintf(stderr, "reeve: %s\n", e->message);
	if (cli->client && client_start_failed(cli->client))
		cli_print_log(client_paths(cli->client));
}

int cli_fail(struct cli *cli, const struct error *e)
{
	cli_print_error(cli, e);
	if (cli->client && client_unreachable(cli->client))
		return EXIT_UNREACHABLE;
	return e->code == ERROR_INVALID_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

int cli_usage(struct cli *cli, const char *format, ...)
{
	char name[64] = "";
	va_list ap;

	if (cli->command)
		snprintf(name, sizeof(name), "%s%s%s", cli->parent ? cli->parent->name : "",
			 cli->parent ? " " : "", cli->command->name);
	fprintf(stderr, "reeve: %s%s", name, *name ? ": " : "");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "; see `reeve %s%s--help`\n", name, *name ? " " : "");
	return EXIT_USAGE;
}

static int newest(struct cli *cli, char **ret, struct error *e)
{
	struct client *client = cli_client(cli, e);
	int r = client ? last_load(client_paths(client)->dir, ret) : -EIO;

	if (r == -ENOENT)
		return error_set(e, ERROR_NOT_FOUND,
				 "@last: no session was made by `reeve run` yet");
	return r < 0 && client ? error_set_errno(e, ERROR_INTERNAL, r, "@last") : r;
}

int cli_session(struct cli *cli, const char *word, char **ret, struct error *e)
{
	if (strcmp(word, "@last") == 0)
		return newest(cli, ret, e);
	if (*word == '\0')
		return error_set(e, ERROR_INVALID_ARGUMENT, "the name of a session is empty");
	*ret = strdup(word);
	return *ret ? 0 : error_set_errno(e, ERROR_INTERNAL, ENOMEM, "%s", word);
}

int cli_status_of(int64_t code)
{
	return code < 0 ? EXIT_SIGNAL + (int)-code : (int)code;
}
