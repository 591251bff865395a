/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "cli/commands.h"
#include "cli/printer.h"
#include "cli/targets.h"
#include "client/attach.h"
#include "client/uri.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

#define TARGET_MAX 4096U

struct logs_values {
	bool follow, times, exit_code;
	const char *lines, *since, *stream, *grep, *from;
	struct selection which;
};

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

static int format_target(const struct logs_values *v, const char *id, const char *format,
			 struct buffer *b)
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
		{ "follow", v->follow && v->times ? "true" : NULL },
	};
	int r = uri_session(b, id, "/logs");

	for (size_t i = 0; i < ARRAY_SIZE(query) && r == 0; i++)
		r = uri_query(b, query[i].name, query[i].value);
	return r;
}

/* --- what was written ------------------------------------------------------------------------ */

/* The first bytes of a stream that the daemon does not keep any more. */
static void tell_lost(const json_t *session, const struct logs_values *v)
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

static int print_raw(struct cli *cli, const char *target, struct printer *p, struct error *e)
{
	struct client_request rq = { .method = "GET", .target = target };
	const struct http_head *head;
	const char *bytes;
	size_t n;
	int r = client_open(cli->client, &rq, &head, e);

	while (r >= 0 && (r = http_client_body(client_http(cli->client), &bytes, &n, e)) > 0)
		r = printer_put(p, FRAME_NO_STREAM, bytes, n);
	return r;
}

/* The bytes of a page or a line, given as `text` or, when they are not UTF-8, as `base64`. */
static int content_of(const json_t *object, char **ret, size_t *ret_size)
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

/* One line of the answer. */
static int print_timed(const char *line, size_t n, struct printer *p, struct error *e)
{
	_cleanup_(freep) char *bytes = NULL;
	json_t *object = NULL;
	const char *time;
	size_t size;
	int r = json_load_strict(line, n, &object, e);

	if (r < 0)
		return r;
	time = json_string_value(json_object_get(object, "time"));
	r = content_of(object, &bytes, &size);
	if (r == 0) {
		fprintf(p->to, "%s ", time ? time : "-");
		fwrite(bytes, 1, size, p->to);
		fputc('\n', p->to);
	}
	json_decref(object);
	return r < 0 ? error_set(e, ERROR_INTERNAL, "the daemon's answer holds no line") : 0;
}

static int print_times(struct cli *cli, const char *target, struct printer *p, struct error *e)
{
	_cleanup_(buffer_done) struct buffer lines;
	struct client_request rq = { .method = "GET", .target = target };
	const struct http_head *head;
	const char *bytes, *end;
	size_t n;
	int r = client_open(cli->client, &rq, &head, e);

	buffer_init(&lines, CLIENT_ANSWER_MAX);
	while (r >= 0 && (r = http_client_body(client_http(cli->client), &bytes, &n, e)) > 0) {
		r = buffer_append(&lines, bytes, n);
		while (r >= 0 && (end = memchr(lines.data, '\n', lines.size))) {
			size_t length = (size_t)(end - lines.data);

			r = print_timed(lines.data, length, p, e);
			buffer_consume(&lines, length + 1);
		}
		fflush(p->to);
	}
	return r;
}

/* --- what comes ------------------------------------------------------------------------------ */

struct offsets {
	char text[N_FRAME_STREAMS][24];
};

/* Prints a page and learns where each stream goes on behind it. */
static int print_page(struct cli *cli, const char *target, const struct logs_values *v,
		      struct printer *p, struct offsets *ret, struct error *e)
{
	_cleanup_(freep) char *bytes = NULL;
	json_t *page = NULL, *next, *offset;
	json_int_t omitted;
	const char *name;
	size_t n;
	int r = cli_call(cli, "GET", target, NULL, &page, e);

	if (r < 0)
		return r;
	r = content_of(page, &bytes, &n);
	if (r == 0)
		r = printer_put(p, FRAME_NO_STREAM, bytes, n);
	omitted = json_integer_value(json_object_get(page, "omitted"));
	if (omitted > 0)
		fprintf(stderr, "reeve: %lld bytes in the middle are left out\n",
			(long long)omitted);
	next = json_object_get(page, "next");
	if (json_is_integer(next) && v->stream)
		snprintf(ret->text[frame_stream_from_name(v->stream, strlen(v->stream))],
			 sizeof(ret->text[0]), "%lld", (long long)json_integer_value(next));
	else if (json_is_integer(next))
		snprintf(ret->text[FRAME_STDOUT], sizeof(ret->text[0]), "%lld",
			 (long long)json_integer_value(next));
	json_object_foreach(next, name, offset)
		snprintf(ret->text[frame_stream_from_name(name, strlen(name))],
			 sizeof(ret->text[0]), "%lld", (long long)json_integer_value(offset));
	json_decref(page);
	return r;
}

static int on_output(void *data, enum frame_stream stream, const uint8_t *bytes, size_t n)
{
	return printer_put(data, stream, bytes, n);
}

static void on_dropped(void *data, enum frame_stream stream, uint64_t n)
{
	(void)data;
	fprintf(stderr, "reeve: %llu bytes of %s are gone\n", (unsigned long long)n,
		frame_stream_name(stream));
}

/* Until the session has ended, or we are killed. */
static int follow_from(struct cli *cli, const char *id, const struct logs_values *v,
		       const struct offsets *from, struct printer *p, struct error *e)
{
	bool all = !v->stream || strcmp(v->stream, "all") == 0;
	struct attach_options o = {
		.socket_path = client_paths(cli->client)->socket,
		.session = id,
		.streams = all ? NULL : v->stream,
		.read_only = true,
		.output = on_output,
		.dropped = on_dropped,
		.data = p,
	};
	_cleanup_(attach_freep) struct attach *a = NULL;
	int r;

	for (unsigned s = 0; s < N_FRAME_STREAMS; s++)
		o.from_stream[s] = from->text[s][0] ? from->text[s] : NULL;
	if (attach_new(&a, &o) < 0)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "follow");
	r = attach_start(a, client_take_http(cli->client), e);
	while (r >= 0 && attach_state(a) != ATTACH_OVER) {
		struct pollfd fd = { attach_fd(a), attach_events(a), 0 };

		poll(&fd, 1, attach_timeout(a));
		r = attach_step(a, e);
		if (fflush(p->to) != 0)
			r = error_set_errno(e, ERROR_INTERNAL, errno, "write");
	}
	return r;
}

/* --- the command ----------------------------------------------------------------------------- */

static int print_one(struct cli *cli, const char *id, const struct logs_values *v,
		     struct printer *p, struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	const char *format = v->times ? "ndjson" : v->follow ? "json" : "raw";
	struct offsets next = { 0 };
	int r;

	buffer_init(&target, TARGET_MAX);
	if (format_target(v, id, format, &target) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "an argument is too long");
	if (v->times) {
		r = print_times(cli, buffer_text(&target), p, e);
	} else if (v->follow) {
		r = print_page(cli, buffer_text(&target), v, p, &next, e);
		fflush(p->to);
		if (r == 0)
			r = follow_from(cli, id, v, &next, p, e);
	} else {
		r = print_raw(cli, buffer_text(&target), p, e);
	}
	printer_end(p);
	return r;
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

static int logs_one(struct cli *cli, const char *id, const struct logs_values *v, bool title,
		    struct error *e)
{
	json_t *session = NULL;
	struct printer printer;
	const char *name;
	int r = cli_call_session(cli, "GET", id, "", NULL, &session, e);

	if (r == 0)
		r = printer_init(&printer, stdout, v->grep, e);
	if (r < 0) {
		json_decref(session);
		return cli_fail(cli, e);
	}
	name = json_string_value(json_object_get(session, "name"));
	if (title)
		printf("==> %s <==\n", name ? name : id);
	tell_lost(session, v);
	r = print_one(cli, id, v, &printer, e);
	printer_done(&printer);
	json_decref(session);
	if (r < 0)
		return cli_fail(cli, e);
	return v->exit_code ? status_of(cli, id, e) : 0;
}

int cmd_logs(struct cli *cli, const void *values, int n, char **operands)
{
	const struct logs_values *v = values;
	_cleanup_(targets_done) struct targets t = { 0 };
	struct error e = { 0 };
	int first = 0;

	if (targets_find(cli, operands, n, &v->which, true, &t, &e) < 0)
		return cli_fail(cli, &e);
	if (v->follow && t.n > 1)
		return cli_usage(cli, "--follow is for one session");
	for (size_t i = 0; i < t.n; i++) {
		int status = logs_one(cli, t.ids[i], v, t.n > 1, &e);

		first = first ? first : status;
	}
	return first;
}
