/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/targets.h"
#include "client/uri.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CHUNK      (64U * KiB)
#define TARGET_MAX 4096U
#define PAUSE_MS   50 /* while the session's stdin is full */

struct send_values {
	bool eof, bare;
	struct selection which;
};

static const struct option_spec specs[] = {
	{ .name = "eof",
	  .help = "close the session's stdin behind it",
	  .offset = offsetof(struct send_values, eof) },
	{ .name = "no-newline",
	  .letter = 'n',
	  .help = "send TEXT as it is",
	  .offset = offsetof(struct send_values, bare) },
	SELECTION_OPTIONS(struct send_values, which, "to all that run"),
	{ 0 },
};

const struct option_table send_options = { specs, sizeof(struct send_values) };

struct sender {
	struct cli *cli;
	const char *id;
	char at[24]; /* the stdin offset where the next bytes belong; "" until it is known */
	int status;  /* exit status of the failure after which nothing more is sent */
};

/* One request. Where the offset is known it can be repeated without typing anything twice. */
static int post(struct sender *s, const void *data, size_t n, bool eof, size_t *ret_accepted,
		struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	struct client_request rq = {
		.method = "POST", .data = data, .size = n, .once = s->at[0] == '\0'
	};
	json_t *answer = NULL;
	int r;

	buffer_init(&target, TARGET_MAX);
	r = uri_session(&target, s->id, "/stdin");
	if (r == 0)
		r = uri_query(&target, "at", s->at[0] ? s->at : NULL);
	if (r == 0)
		r = uri_query(&target, "eof", eof ? "true" : NULL);
	if (r < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "the name of the session is too long");
	rq.target = buffer_text(&target);
	r = client_call(s->cli->client, &rq, &answer, e);
	if (r < 0)
		return r;
	*ret_accepted = (size_t)json_integer_value(json_object_get(answer, "accepted"));
	snprintf(s->at, sizeof(s->at), "%lld",
		 (long long)json_integer_value(json_object_get(answer, "offset")));
	json_decref(answer);
	return 0;
}

/* All of it, however long the session takes to read. */
static int send_all(struct sender *s, const char *data, size_t n, bool eof, struct error *e)
{
	do {
		size_t accepted = 0;
		int r = post(s, data, MIN(n, CHUNK), eof && n <= CHUNK, &accepted, e);

		if (r < 0)
			return r;
		if (accepted > n)
			return error_set(e, ERROR_INTERNAL, "the daemon took more than was sent");
		data += accepted;
		n -= accepted;
		if (accepted == 0 && n > 0)
			poll(NULL, 0, PAUSE_MS);
	} while (n > 0);
	return 0;
}

/* The same to each that has not failed. */
static void send_each(struct sender *s, size_t n, const char *data, size_t size, bool eof)
{
	struct error e = { 0 };

	for (size_t i = 0; i < n; i++)
		if (s[i].status == 0 && send_all(&s[i], data, size, eof, &e) < 0)
			s[i].status = cli_fail(s[i].cli, &e);
}

static int send_text(struct sender *s, size_t n, const char *text, const struct send_values *v,
		     struct error *e)
{
	_cleanup_(buffer_done) struct buffer line;
	int r;

	buffer_init(&line, 16 * MiB);
	r = buffer_append_text(&line, text);
	if (r == 0 && !v->bare)
		r = buffer_append_text(&line, "\n");
	if (r < 0)
		return error_set_errno(e, ERROR_TOO_LARGE, r, "the text");
	send_each(s, n, buffer_text(&line), line.size, v->eof);
	return 0;
}

static int send_stdin(struct sender *s, size_t n, bool eof, struct error *e)
{
	char bytes[CHUNK];
	ssize_t size;

	while ((size = read(STDIN_FILENO, bytes, sizeof(bytes))) != 0) {
		if (size > 0)
			send_each(s, n, bytes, (size_t)size, false);
		else if (errno != EINTR)
			return error_set_errno(e, ERROR_INTERNAL, errno, "read stdin");
	}
	if (eof)
		send_each(s, n, "", 0, true);
	return 0;
}

/* `text` is NULL for standard input. Returns the first exit status that is not 0. */
static int send_to(struct cli *cli, const struct targets *t, const char *text,
		   const struct send_values *v)
{
	_cleanup_(freep) struct sender *s = calloc(t->n + 1, sizeof(*s));
	struct error e = { 0 };
	int r = 0;

	if (!s)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "out of memory" });
	for (size_t i = 0; i < t->n; i++) {
		s[i].cli = cli;
		s[i].id = t->ids[i];
	}
	if (text)
		r = send_text(s, t->n, text, v, &e);
	else if (v->eof && isatty(STDIN_FILENO))
		send_each(s, t->n, "", 0, true);
	else
		r = send_stdin(s, t->n, v->eof, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	for (size_t i = 0; i < t->n; i++)
		if (s[i].status != 0)
			return s[i].status;
	return 0;
}

int cmd_send(struct cli *cli, const void *values, int n, char **operands)
{
	const struct send_values *v = values;
	_cleanup_(targets_done) struct targets t = { 0 };
	int named = selection_given(&v->which) ? 0 : MIN(n, 1);
	struct error e = { 0 };

	if (n > named + 1)
		return cli_usage(cli, "\"%s\" is one argument too many", operands[named + 1]);
	if (!cli_client(cli, &e) ||
	    targets_find(cli, operands, named, &v->which, false, &t, &e) < 0)
		return cli_fail(cli, &e);
	return send_to(cli, &t, n > named ? operands[named] : NULL, v);
}
