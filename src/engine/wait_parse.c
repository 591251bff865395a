/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/parse.h"
#include "engine/probe.h"
#include "engine/typing.h"
#include "engine/wait_private.h"
#include <string.h>

static const char *const names[] = {
	[WAIT_EXIT] = "exit",       [WAIT_TREE] = "tree",   [WAIT_EOF] = "eof",
	[WAIT_MATCH] = "match",     [WAIT_PORT] = "port",   [WAIT_HTTP] = "http",
	[WAIT_IDLE] = "idle",       [WAIT_INPUT] = "input", [WAIT_TIMEOUT] = "timeout",
	[WAIT_REMOVED] = "removed",
};

const char *wait_type_name(enum wait_type type)
{
	return names[type];
}

static int read_true(struct condition *c, const json_t *value, struct error *err)
{
	if (!json_is_true(value))
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: \"%s\" takes true",
				 names[c->type]);
	return 0;
}

/* A string without a NUL in it. */
static bool is_text(const json_t *value)
{
	return json_is_string(value) &&
	       strlen(json_string_value(value)) == json_string_length(value);
}

static int read_match(struct condition *c, const json_t *value, struct error *err)
{
	if (!is_text(value))
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: \"match\" takes a string");
	return pattern_new(&c->pattern, json_string_value(value), "match", err);
}

static int read_port(struct condition *c, const json_t *value, struct error *err)
{
	json_int_t port = json_integer_value(value);

	if (!json_is_integer(value) || port < 1 || port > 65535)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "until: \"port\" takes a number from 1 to 65535");
	c->port.port = (uint16_t)port;
	return 0;
}

static int read_http(struct condition *c, const json_t *value, struct error *err)
{
	int r;

	if (!is_text(value))
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: \"http\" takes a URL");
	r = probe_check_url(json_string_value(value), err);
	if (r < 0)
		return r;
	c->url = strdup(json_string_value(value));
	return c->url ? 0 : error_set(err, ERROR_EXHAUSTED, "no memory");
}

static int read_idle(struct condition *c, const json_t *value, struct error *err)
{
	if (!json_is_string(value) || parse_duration_ms(json_string_value(value), &c->idle_ms) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "until: \"idle\" takes a duration as \"2s\"");
	return 0;
}

static int read_input(struct condition *c, const json_t *value, struct error *err)
{
	if (c->wait->session && !session_is_pty(c->wait->session))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "until: \"input\" needs a session with a terminal (kind pty)");
	return read_true(c, value, err);
}

static int (*const readers[N_WAIT_TYPES])(struct condition *, const json_t *, struct error *) = {
	[WAIT_EXIT] = read_true,   [WAIT_TREE] = read_true,   [WAIT_EOF] = read_true,
	[WAIT_MATCH] = read_match, [WAIT_PORT] = read_port,   [WAIT_HTTP] = read_http,
	[WAIT_IDLE] = read_idle,   [WAIT_INPUT] = read_input,
};

static const char *stream_name(const struct session *s, unsigned stream)
{
	if (word_load(&s->words->kind) == KIND_PTY)
		return "pty";
	return stream == STREAM_OUT ? "stdout" : "stderr";
}

/* The first line that was typed, when the terminal shows it. */
static int read_echo(struct condition *c, const struct session *s)
{
	uint64_t end = ring_head(&s->in), n = end - MIN(s->typed_from, end);
	char line[ECHO_MAX];

	if (!session_is_pty(s) || n > s->in.size || !typing_echo(s))
		return 0;
	n = ring_copy(&s->in, end - n, line, MIN(n, (uint64_t)sizeof(line)));
	for (c->echo_size = 0; c->echo_size < n; c->echo_size++)
		if (line[c->echo_size] == '\n' || line[c->echo_size] == '\r')
			break;
	if (c->echo_size == 0)
		return 0;
	c->echo = malloc(c->echo_size);
	if (!c->echo)
		return -ENOMEM;
	memcpy(c->echo, line, c->echo_size);
	return 0;
}

/* Marks the streams that are searched, and from where; false when none has that name. */
static bool choose_streams(struct condition *c, const char *stream, const json_t *from)
{
	const struct session *s = c->wait->session;
	bool any = false;

	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		if (!output_stream_exists(s, i) ||
		    (stream && strcmp(stream, stream_name(s, i)) != 0))
			continue;
		c->want[i] = true;
		if (from && !any)
			c->at[i] = (uint64_t)json_integer_value(from);
		else if (!from && s->typed)
			c->at[i] = s->typed_after[i];
		any = true;
	}
	return any;
}

/* `stream` and `from` beside `match`. Without `stream` all are searched, and `from` is an offset of
 * the first; without `from` it is what was written since something was typed. */
static int read_place(struct condition *c, const json_t *item, struct error *err)
{
	const struct session *s = c->wait->session;
	const json_t *from = json_object_get(item, "from"), *name = json_object_get(item, "stream");
	const char *stream = json_string_value(name);

	if (name && !stream)
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: \"stream\" takes a string");
	if (from && (!json_is_integer(from) || json_integer_value(from) < 0))
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: \"from\" takes an offset");
	if (!s)
		return 0; /* only checked: which streams there are is not known yet */
	if (!choose_streams(c, stream, from))
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: %s has no stream \"%.40s\"",
				 s->id, stream ? stream : "stdout");
	return s->typed && !from ? read_echo(c, s) : 0;
}

static int read_condition(struct condition *c, const json_t *item, struct error *err)
{
	const char *key;
	json_t *value;
	bool found = false;
	int r = 0;

	if (!json_is_object(item))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "until: each condition is an object as {\"exit\":true}");
	json_object_foreach((json_t *)item, key, value)
	{
		unsigned type = 0;

		if (strcmp(key, "from") == 0 || strcmp(key, "stream") == 0)
			continue;
		while (type < N_WAIT_TYPES && strcmp(key, names[type]) != 0)
			type++;
		if (type == N_WAIT_TYPES)
			return error_set(
				err, ERROR_INVALID_ARGUMENT,
				"until: unknown condition \"%.60s\"; there are exit, tree, eof, "
				"match, port, http, idle and input",
				key);
		if (found)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "until: one condition an object; put \"%s\" into its own",
					 key);
		found = true;
		c->type = (enum wait_type)type;
		r = readers[type](c, value, err);
		if (r < 0)
			return r;
	}
	if (!found)
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: an empty condition");
	if (c->type == WAIT_MATCH)
		return read_place(c, item, err);
	if (json_object_get(item, "from") || json_object_get(item, "stream"))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "until: \"from\" and \"stream\" go with \"match\"");
	return 0;
}

int wait_parse(struct wait *w, const json_t *until, struct error *err)
{
	size_t n = json_array_size(until);

	if (until && !json_is_array(until))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "until: expected a list of conditions");
	if (n > WAIT_CONDITIONS_MAX - 1)
		return error_set(err, ERROR_TOO_LARGE, "until: at most %u conditions",
				 WAIT_CONDITIONS_MAX - 1);
	for (size_t i = 0; i < n; i++) {
		struct condition *c = &w->conditions[w->n++];
		int r;

		c->wait = w;
		r = read_condition(c, json_array_get(until, i), err);
		if (r < 0)
			return r;
	}
	return 0;
}

void wait_conditions_done(struct wait *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct condition *c = &w->conditions[i];

		pattern_free(c->pattern);
		free(c->echo);
		port_watch_stop(&c->port);
		probe_free(c->probe);
		if (c->counted)
			--*c->counted;
		free(c->url);
	}
}

int wait_check(const json_t *until, struct error *err)
{
	struct wait w = { 0 };
	int r = wait_parse(&w, until, err);

	wait_conditions_done(&w);
	return r;
}
