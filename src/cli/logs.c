/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/logs.h"
#include "base/json.h"
#include "cli/commands.h"
#include "client/attach.h"
#include "client/uri.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#define TARGET_MAX 8192U

#define AT(m) offsetof(struct logs_values, m)

static const struct option_spec specs[] = {
	{ .name = "follow", .letter = 'f', .help = "and what comes", .offset = AT(follow) },
	{ .name = "lines",
	  .letter = 'n',
	  .argument = "N",
	  .help = "the last N lines",
	  .type = OPTION_NUMBER,
	  .offset = AT(lines) },
	{ .name = "timestamps",
	  .letter = 't',
	  .help = "each line with its time",
	  .offset = AT(times) },
	{ .name = "since",
	  .argument = "TIME",
	  .help = "from a time (2026-01-31T12:00:00Z) or so long ago (10m)",
	  .type = OPTION_TEXT,
	  .offset = AT(since) },
	{ .name = "stream",
	  .argument = "NAME",
	  .help = "only stdout or stderr",
	  .choices = "stdout stderr pty all",
	  .type = OPTION_TEXT,
	  .offset = AT(stream) },
	{ .name = "grep",
	  .argument = "REGEX",
	  .help = "only lines that match (extended regular expression)",
	  .type = OPTION_TEXT,
	  .offset = AT(grep) },
	{ .name = "from",
	  .argument = "OFFSET",
	  .help = "from this byte of the stream",
	  .type = OPTION_NUMBER,
	  .offset = AT(from) },
	{ .name = "exit-code", .help = "exit as the session did", .offset = AT(exit_code) },
	SELECTION_OPTIONS(struct logs_values, which, "of all"),
	{ 0 },
};

const struct option_table logs_options = { specs, sizeof(struct logs_values) };

int logs_target(struct buffer *b, const struct logs_values *v, const char *id, const char *format,
		bool follow)
{
	const struct {
		const char *name, *value;
	} query[] = {
		{ "format", format },
		{ "stream", v->stream },
		{ "tail", v->lines },
		{ "since", v->since },
		{ "from", v->from },
		{ "grep", v->grep },
		{ "follow", follow ? "true" : NULL },
	};
	int r = uri_session(b, id, "/logs");

	for (size_t i = 0; i < ARRAY_SIZE(query) && r == 0; i++)
		r = uri_query(b, query[i].name, query[i].value);
	return r;
}

/* --- what was written ------------------------------------------------------------------------ */

void logs_tell_lost(const json_t *session, const struct logs_values *v)
{
	const char *name;
	json_t *stream;

	if (v->lines || v->since)
		return;
	json_object_foreach(json_object_get(session, "streams"), name, stream)
	{
		json_int_t from = v->from ? strtoll(v->from, NULL, 10) : 0;
		json_int_t kept = json_integer_value(json_object_get(stream, "retainedFrom"));

		if (kept > from &&
		    (!v->stream || strcmp(v->stream, "all") == 0 || strcmp(v->stream, name) == 0))
			fprintf(stderr, "reeve: %lld bytes of %s before this are gone\n",
				(long long)(kept - from), name);
	}
}

static int print_raw(struct cli *cli, const char *target, struct error *e)
{
	struct client_request rq = { .method = "GET", .target = target };
	const struct http_head *head;
	const char *bytes;
	size_t n;
	int r = client_open(cli->client, &rq, &head, e);

	while (r >= 0 && (r = http_client_body(client_http(cli->client), &bytes, &n, e)) > 0)
		fwrite(bytes, 1, n, stdout);
	return r;
}

int logs_content(const json_t *object, char **ret, size_t *ret_size)
{
	json_t *text = json_object_get(object, "text"), *wrapped;
	int r;

	if (text)
		return json_bytes_decode(text, ret, ret_size);
	wrapped = json_pack("{s:O}", "base64", json_object_get(object, "base64"));
	r = json_bytes_decode(wrapped, ret, ret_size);
	json_decref(wrapped);
	return r;
}

/* --- what comes ------------------------------------------------------------------------------ */

struct offsets {
	char text[N_FRAME_STREAMS][24];
};

static void set_offset(struct offsets *o, const char *stream, const json_t *offset)
{
	enum frame_stream s = frame_stream_from_name(stream, strlen(stream));

	snprintf(o->text[s], sizeof(o->text[s]), "%lld", (long long)json_integer_value(offset));
}

/* Prints a page and learns where each stream goes on behind it. */
static int print_page(struct cli *cli, const char *target, struct offsets *ret, struct error *e)
{
	_cleanup_(freep) char *bytes = NULL;
	json_t *page = NULL, *next, *offset;
	json_int_t omitted;
	const char *name;
	size_t n;
	int r = cli_call(cli, "GET", target, NULL, &page, e);

	if (r < 0)
		return r;
	r = logs_content(page, &bytes, &n);
	if (r == 0)
		fwrite(bytes, 1, n, stdout);
	omitted = json_integer_value(json_object_get(page, "omitted"));
	if (omitted > 0)
		fprintf(stderr, "reeve: %lld bytes in the middle are left out\n",
			(long long)omitted);
	next = json_object_get(page, "next");
	name = json_string_value(json_object_get(page, "stream"));
	if (json_is_integer(next) && name)
		set_offset(ret, name, next);
	json_object_foreach(next, name, offset) set_offset(ret, name, offset);
	json_decref(page);
	return r;
}

static int on_output(void *data, enum frame_stream stream, const uint8_t *bytes, size_t n)
{
	(void)data;
	(void)stream;
	fwrite(bytes, 1, n, stdout);
	return 0;
}

static void on_dropped(void *data, enum frame_stream stream, uint64_t n)
{
	(void)data;
	fprintf(stderr, "reeve: %llu bytes of %s are gone\n", (unsigned long long)n,
		frame_stream_name(stream));
}

/* Until the session has ended, or we are killed. */
static int follow_from(struct cli *cli, const char *id, const struct logs_values *v,
		       const struct offsets *from, struct error *e)
{
	bool all = !v->stream || strcmp(v->stream, "all") == 0;
	struct attach_options o = {
		.socket_path = client_paths(cli->client)->socket,
		.session = id,
		.streams = all ? NULL : v->stream,
		.read_only = true,
		.output = on_output,
		.dropped = on_dropped,
	};
	_cleanup_(attach_freep) struct attach *a = NULL;
	int r;

	for (unsigned s = 0; s < N_FRAME_STREAMS; s++)
		o.from_stream[s] = from->text[s][0] ? from->text[s] : NULL;
	if (attach_new(&a, &o) < 0)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "follow");
	r = attach_start(a, client_take_http(cli->client), e);
	while (r >= 0 && attach_state(a) != ATTACH_OVER) {
		struct pollfd p[] = { { attach_fd(a), attach_events(a), 0 },
				      { .fd = STDOUT_FILENO } };

		poll(p, ARRAY_SIZE(p), attach_timeout(a));
		if (p[1].revents & (POLLERR | POLLHUP))
			return EXIT_SIGNAL + SIGPIPE;
		r = attach_step(a, e);
		if (fflush(stdout) != 0)
			r = error_set_errno(e, ERROR_INTERNAL, errno, "write to stdout");
	}
	return r;
}

/* --- the command ----------------------------------------------------------------------------- */

/* One session's output as it is, byte for byte. Returns the exit status, or a negative errno. */
static int print_bytes(struct cli *cli, const char *id, const struct logs_values *v,
		       struct error *e)
{
	_cleanup_(buffer_done) struct buffer target = { 0 };
	struct offsets next = { 0 };
	json_t *session = NULL;
	int r = cli_call_session(cli, "GET", id, "", NULL, &session, e);

	if (r < 0)
		return r;
	logs_tell_lost(session, v);
	json_decref(session);
	buffer_init(&target, TARGET_MAX);
	if (logs_target(&target, v, id, v->follow ? "json" : "raw", false) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "an argument is too long");
	if (!v->follow)
		return print_raw(cli, buffer_text(&target), e);
	r = print_page(cli, buffer_text(&target), &next, e);
	if (r == 0 && fflush(stdout) != 0)
		r = error_set_errno(e, ERROR_INTERNAL, errno, "write to stdout");
	return r < 0 ? r : follow_from(cli, id, v, &next, e);
}

/* The session's exit status where it is known. */
static int status_of(struct cli *cli, const char *id, struct error *e)
{
	json_t *session = NULL, *code;
	int status = 0;

	if (cli_call_session(cli, "GET", id, "", NULL, &session, e) < 0)
		return cli_fail(cli, e);
	code = json_object_get(json_object_get(session, "exit"), "exitCode");
	if (json_is_integer(code))
		status = cli_status_of(json_integer_value(code));
	else if (json_object_get(session, "exit"))
		status = EXIT_FAILED;
	json_decref(session);
	return status;
}

/* Whether lines are to be told from one another. */
static bool by_line(const struct targets *t, const struct logs_values *v)
{
	return t->n != 1 || v->times || (v->follow && v->grep);
}

int cmd_logs(struct cli *cli, const void *values, int n, char **operands)
{
	const struct logs_values *v = values;
	_cleanup_(targets_done) struct targets t = { 0 };
	struct error e = { 0 };
	int first;

	if (targets_find(cli, operands, n, &v->which, true, &t, &e) < 0)
		return cli_fail(cli, &e);
	if (by_line(&t, v)) {
		first = logs_merge(cli, &t, v);
	} else {
		first = print_bytes(cli, t.ids[0], v, &e);
		first = first < 0 ? cli_fail(cli, &e) : first;
	}
	for (size_t i = 0; i < t.n && v->exit_code; i++)
		first = first ? first : status_of(cli, t.ids[i], &e);
	return first;
}
