/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c - from a request to a connection that speaks reeve-attach/1. */
#include "api/render.h"
#include "api/routes.h"
#include "base/parse.h"
#include "base/text.h"
#include "engine/attachment.h"
#include <stdio.h>
#include <string.h>

/* Between the 101 and the socket the session may go: it is found again. */
struct upgrade {
	struct engine *engine;
	unsigned slot;
	uint64_t generation;
	struct attach_options options;
	struct upgraded *u;
};

static int read_streams(const struct session *s, const char *text, struct attach_options *o,
			struct error *err)
{
	if (!text) {
		for (unsigned i = 0; i < STREAMS_MAX; i++)
			o->want[i] = output_stream_exists(s, i);
		return 0;
	}
	while (*text) {
		size_t n = strcspn(text, ",");
		unsigned i = 0;

		while (i < STREAMS_MAX && (strlen(render_stream_name(s, i)) != n ||
					   strncmp(render_stream_name(s, i), text, n) != 0))
			i++;
		if (i == STREAMS_MAX)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "streams: \"%.*s\" is no output stream of %s", (int)n,
					 text, s->id);
		o->want[i] = true;
		text += n + (text[n] == ',');
	}
	return 0;
}

static int read_place(const struct request *rq, const char *name, struct attach_place *ret,
		      struct error *err)
{
	const char *text = request_query(rq, name);

	if (!text)
		return 0;
	if (strcmp(text, "start") == 0)
		ret->from = FROM_START;
	else if (strcmp(text, "now") == 0)
		ret->from = FROM_NOW;
	else if (strcmp(text, "delivered") == 0)
		ret->from = FROM_DELIVERED;
	else if (parse_u64(text, 0, INT64_MAX, &ret->offset) >= 0)
		ret->from = FROM_OFFSET;
	else
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "%s=%s: expected start, now, delivered or an offset", name, text);
	return 0;
}

static int read_places(const struct request *rq, const struct session *s, struct attach_options *o,
		       struct error *err)
{
	static const char *const others[] = { "from.stdout", "from.stderr", "from.pty" };
	struct attach_place all = { .from = FROM_DELIVERED }, nowhere;
	char name[32];
	int r = read_place(rq, "from", &all, err);

	for (unsigned i = 0; i < STREAMS_MAX && r >= 0; i++) {
		o->place[i] = all;
		snprintf(name, sizeof(name), "from.%s", render_stream_name(s, i));
		r = read_place(rq, name, &o->place[i], err);
	}
	/* Of a stream that this session has not: checked like the rest. */
	for (size_t i = 0; i < ARRAY_SIZE(others) && r >= 0; i++)
		r = read_place(rq, others[i], &nowhere, err);
	return r;
}

static int read_mode(const char *text, enum attach_mode *ret, struct error *err)
{
	*ret = ATTACH_DROP_OLDEST;
	if (text && strcmp(text, "block") == 0)
		*ret = ATTACH_BLOCK;
	else if (text && strcmp(text, "drop-oldest") != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "mode=%s: expected drop-oldest or block", text);
	return 0;
}

static int read_token(const char *text, struct attach_options *o, struct error *err)
{
	if (!text)
		return 0;
	if (text_hex_decode(text, o->token, sizeof(o->token)) < 0 || !(o->token[0] | o->token[1]))
		return error_set(err, ERROR_INVALID_ARGUMENT, "token: expected 32 hex digits");
	o->has_token = true;
	return 0;
}

static int read_size(const struct request *rq, const char *name, uint16_t *ret, struct error *err)
{
	const char *text = request_query(rq, name);
	uint64_t value;

	if (!text)
		return 0;
	if (parse_u64(text, 1, UINT16_MAX, &value) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "%s=%s: expected a number from 1 to 65535", name, text);
	*ret = (uint16_t)value;
	return 0;
}

static int read_screen(const struct request *rq, const struct session *s, struct attach_options *o,
		       struct error *err)
{
	const char *text = request_query(rq, "restore");
	int r = read_size(rq, "rows", &o->rows, err);

	if (r >= 0)
		r = read_size(rq, "cols", &o->cols, err);
	if (r >= 0 && (o->rows > 0) != (o->cols > 0))
		r = error_set(err, ERROR_INVALID_ARGUMENT, "rows and cols: both or none");
	if (r < 0 || !text)
		return r;
	if (strcmp(text, "screen") != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "restore=%s: expected screen", text);
	if (!session_is_pty(s))
		return error_set(err, ERROR_INVALID_ARGUMENT, "restore=screen: %s has no terminal",
				 s->id);
	o->restore = true;
	return 0;
}

static int read_options(struct request *rq, const struct session *s, struct attach_options *o,
			struct error *err)
{
	int r = read_streams(s, request_query(rq, "streams"), o, err);

	if (r >= 0)
		r = read_places(rq, s, o, err);
	if (r >= 0)
		r = read_mode(request_query(rq, "mode"), &o->mode, err);
	if (r >= 0)
		r = request_query_bool(rq, "steal", &o->steal, err);
	if (r >= 0)
		r = request_query_bool(rq, "readOnly", &o->read_only, err);
	if (r >= 0)
		r = read_token(request_query(rq, "token"), o, err);
	if (r >= 0)
		r = read_screen(rq, s, o, err);
	o->numbers = request_header(rq, FRAME_SIGNALS_HEADER) != NULL;
	o->memory = request_header(rq, FRAME_MEMORY_HEADER) != NULL;
	o->peer = request_peer_pid(rq);
	return r;
}

static void on_closed(void *data)
{
	struct upgrade *up = data;

	upgraded_close(up->u);
	free(up);
}

static void on_opened(struct upgraded *u, int fd, const void *extra, size_t n_extra, void *data)
{
	struct upgrade *up = data;
	struct session *s = up->engine->slots[up->slot];

	up->u = u;
	if (!s || word_load(&s->words->generation) != up->generation ||
	    !attachment_new(s, &up->options, fd, extra, n_extra, on_closed, up))
		on_closed(up);
}

/* The client has gone before it got its connection. */
static void on_dropped(void *data)
{
	struct upgrade *up = data;
	struct session *s = up->engine->slots[up->slot];

	if (s && word_load(&s->words->generation) == up->generation)
		attachment_cancel(s, &up->options);
	free(up);
}

int session_attach(struct request *rq, void *context, struct error *err)
{
	struct attach_options o = { 0 };
	struct upgrade *up;
	struct session *s;
	int r = request_session(rq, context, &s, err);

	if (r >= 0 && (session_failed(s) || s->quarantined))
		r = error_set(err, ERROR_WRONG_STATE, "%s has nothing to attach to: it is %s",
			      s->id, s->quarantined ? "quarantined" : session_status(s));
	if (r >= 0)
		r = read_options(rq, s, &o, err);
	if (r < 0)
		return r;
	/* What asks for no upgrade gets an error, before anybody's place is touched. */
	if (!request_offers_upgrade(rq, FRAME_PROTOCOL))
		return request_upgrade(rq, FRAME_PROTOCOL, on_opened, NULL);
	r = attachment_prepare(s, &o, err);
	if (r < 0)
		return r;
	up = calloc(1, sizeof(*up));
	if (!up)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	up->engine = context;
	up->slot = s->slot;
	up->generation = word_load(&s->words->generation);
	up->options = o;
	return request_upgrade_or(rq, FRAME_PROTOCOL, on_opened, on_dropped, up);
}
