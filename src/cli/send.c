/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
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
};

static const struct option_spec specs[] = {
	{ .name = "eof",
	  .help = "close the session's stdin behind it",
	  .offset = offsetof(struct send_values, eof) },
	{ .name = "no-newline",
	  .letter = 'n',
	  .help = "send TEXT as it is",
	  .offset = offsetof(struct send_values, bare) },
	{ 0 },
};

const struct option_table send_options = { specs, sizeof(struct send_values) };

struct sender {
	struct cli *cli;
	const char *id;
	char at[24]; /* the stdin offset where the next bytes belong; "" until it is known */
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

static int send_text(struct sender *s, const char *text, const struct send_values *v,
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
	return send_all(s, buffer_text(&line), line.size, v->eof, e);
}

static int send_stdin(struct sender *s, bool eof, struct error *e)
{
	char bytes[CHUNK];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read(STDIN_FILENO, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? error_set_errno(e, ERROR_INTERNAL, errno, "read stdin")
			  : send_all(s, bytes, (size_t)n, false, e);
	}
	return r == 0 && eof ? send_all(s, "", 0, true, e) : r;
}

int cmd_send(struct cli *cli, const void *values, int n, char **operands)
{
	const struct send_values *v = values;
	_cleanup_(freep) char *id = NULL;
	struct sender s = { .cli = cli };
	struct error e = { 0 };
	int r;

	if (!cli_client(cli, &e) || cli_session(cli, operands[0], &id, &e) < 0)
		return cli_fail(cli, &e);
	s.id = id;
	if (n > 1)
		r = send_text(&s, operands[1], v, &e);
	else if (v->eof && isatty(STDIN_FILENO))
		r = send_all(&s, "", 0, true, &e);
	else
		r = send_stdin(&s, v->eof, &e);
	return r < 0 ? cli_fail(cli, &e) : 0;
}
