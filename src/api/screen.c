/* SPDX-License-Identifier: Apache-2.0 */
/* screen.c - the screen of a session's terminal as it is now, without attaching. */
#include "engine/screen.h"
#include "api/routes.h"
#include <errno.h>
#include <string.h>

static const struct format {
	const char *name, *type;
	unsigned parts;
} formats[] = {
	{ "json", "application/json", SCREEN_TEXT },
	{ "text", "text/plain; charset=utf-8", SCREEN_TEXT },
	{ "ansi", "text/plain; charset=utf-8", SCREEN_ANSI },
};

/* A request that waits for the drawing. */
struct looking {
	struct request *rq;
	struct screen_job *job;
	const struct format *format;
};

/* --- JSON ---------------------------------------------------------------------------------------
 */

static json_t *render_lines(const struct buffer *text)
{
	json_t *lines = json_array();
	const char *line = text->data, *stop = text->data + text->size;

	while (line && line < stop) {
		const char *end = memchr(line, '\n', (size_t)(stop - line));

		if (!end)
			end = stop;
		json_array_append_new(lines, json_bytes(line, (size_t)(end - line)));
		line = end + 1;
	}
	return lines;
}

static const char *mouse_name(const struct term *t)
{
	return term_has(t, TERM_MOUSE_MOVE)    ? "move"
	       : term_has(t, TERM_MOUSE_DRAG)  ? "drag"
	       : term_has(t, TERM_MOUSE_CLICK) ? "click"
	       : term_has(t, TERM_MOUSE_PRESS) ? "press"
					       : "none";
}

static const char *shape_name(const struct term *t)
{
	static const char *const names[] = { "default",   "block", "block", "underline",
					     "underline", "bar",   "bar" };

	return names[t->cursor_shape % ARRAY_SIZE(names)];
}

static json_t *render_shot(const struct screen_shot *shot)
{
	const struct term *t = &shot->term;
	json_t *o = json_pack("{s:I, s:i, s:i, s:b, s:b, s:o}", "offset", (json_int_t)shot->offset,
			      "rows", (int)shot->rows, "cols", (int)shot->cols, "alternate",
			      (int)term_has(t, TERM_ALT_SCREEN), "whole", (int)shot->whole, "lines",
			      render_lines(&shot->text));

	json_object_set_new(o, "cursor",
			    json_pack("{s:i, s:i, s:b, s:s}", "row", (int)shot->row, "col",
				      (int)shot->col, "visible",
				      (int)term_has(t, TERM_CURSOR_VISIBLE), "shape",
				      shape_name(t)));
	json_object_set_new(o, "modes",
			    json_pack("{s:b, s:b, s:b, s:b, s:s}", "applicationCursor",
				      (int)term_has(t, TERM_APP_CURSOR), "applicationKeypad",
				      (int)term_has(t, TERM_APP_KEYPAD), "bracketedPaste",
				      (int)term_has(t, TERM_PASTE), "focusEvents",
				      (int)term_has(t, TERM_FOCUS), "mouse", mouse_name(t)));
	if (t->title_size > 0)
		json_object_set_new(o, "title", json_bytes(t->title, t->title_size));
	return o;
}

/* --- text ----------------------------------------------------------------------------------------
 */

/* Without the empty lines at the end. */
static size_t size_without_blank_end(const struct buffer *b)
{
	size_t n = b->size;

	while (n > 0 && b->data[n - 1] == '\n' && (n == 1 || b->data[n - 2] == '\n'))
		n--;
	return n;
}

static void on_drawn(void *data, const struct screen_shot *shot)
{
	struct looking *l = data;
	struct error e = { 0 };

	if (!shot) {
		error_set(&e, ERROR_EXHAUSTED, "no memory for the screen");
		request_reply_error(l->rq, &e);
	} else if (shot->fault) {
		error_set(&e, ERROR_UNAVAILABLE,
			  "the screen was not drawn: %s; ask again, or `reeve logs`", shot->fault);
		request_reply_error(l->rq, &e);
	} else if (l->format == &formats[0]) {
		request_reply_json(l->rq, 200, render_shot(shot));
	} else {
		const struct buffer *b =
			l->format->parts == SCREEN_ANSI ? &shot->ansi : &shot->text;

		request_reply_bytes(l->rq, 200, l->format->type, buffer_text(b),
				    size_without_blank_end(b));
	}
	free(l);
}

static void on_cancelled(struct request *rq, void *data)
{
	struct looking *l = data;

	(void)rq;
	screen_cancel(l->job);
	free(l);
}

static const struct format *read_format(const struct request *rq, struct error *err)
{
	const char *text = request_query(rq, "format");

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (!text || strcmp(text, formats[i].name) == 0)
			return &formats[i];
	error_set(err, ERROR_INVALID_ARGUMENT, "format=%s: expected json, text or ansi", text);
	return NULL;
}

int session_screen(struct request *rq, void *context, struct error *err)
{
	const struct format *format = read_format(rq, err);
	struct looking *l;
	struct session *s;
	int r;

	if (!format)
		return -EINVAL;
	r = request_session(rq, context, &s, err);
	if (r < 0)
		return r;
	l = calloc(1, sizeof(*l));
	if (!l)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	l->rq = rq;
	l->format = format;
	r = screen_take(s, format->parts, on_drawn, l, &l->job, err);
	if (r < 0) {
		free(l);
		return r;
	}
	request_defer(rq, on_cancelled, l);
	return 0;
}
