/* SPDX-License-Identifier: Apache-2.0 */
/* attach_screen.c - a client that shows a terminal gets the screen as it is: when it comes, and
 * again whenever output was overwritten before it was sent. */
#include "base/clock.h"
#include "core/pty.h"
#include "engine/attachment_private.h"

#define CANCEL     "\x18"        /* what it was sent may end within a sequence */
#define PIECE_MAX  (64U * 1024U) /* bytes of one SCREEN frame */
#define SCREEN_MAX (8U * 1024U * 1024U)
#define PAUSE_MS   100U /* between two screens of a client that is lapped again and again */

static void begin(struct attachment *a);

static void on_pause_over(uv_timer_t *timer)
{
	struct attachment *a = timer->data;

	a->screen_late = false;
	begin(a);
	attach_pump(a);
}

static void on_drawn(void *data, const struct screen_shot *shot)
{
	struct attachment *a = data;

	a->drawing = NULL;
	a->screen_at = clock_monotonic_ms();
	if (!shot)
		buffer_done(&a->screen);
	else
		buffer_append(&a->screen, shot->restore.data, shot->restore.size);
	attach_pump(a);
}

/* The picture is of the head now, and so the output goes on from there. Where none can be drawn, it
 * goes on all the same. */
static void begin(struct attachment *a)
{
	struct cursor *c = &a->cursors[STREAM_OUT];
	struct error e = { 0 };
	uint64_t head = ring_head(c->ring);

	if (head > c->offset) {
		struct frame f = { .type = FRAME_DROPPED,
				   .stream = FRAME_PTY,
				   .offset = head - c->offset };

		attach_push(a, &f);
		buffer_append(&a->screen, CANCEL, 1);
		c->dropped += head - c->offset;
		c->offset = head;
	}
	if (a->session)
		screen_take(a->session, SCREEN_RESTORE, on_drawn, a, &a->drawing, &e);
}

void attach_screen_open(struct attachment *a, const struct attach_options *o)
{
	struct session *s = a->session;

	if (a->controlling && o->rows > 0 && session_is_pty(s) && s->fds[SLOT_FD_OUT] >= 0)
		pty_resize(s->fds[SLOT_FD_OUT], o->rows, o->cols);
	buffer_init(&a->screen, SCREEN_MAX);
	if (!o->restore || !a->want[STREAM_OUT])
		return;
	a->screen_timer = calloc(1, sizeof(*a->screen_timer));
	if (!a->screen_timer)
		return;
	uv_timer_init(&s->engine->loop, a->screen_timer);
	a->screen_timer->data = a;
	begin(a);
}

bool attach_screen_lapped(struct attachment *a)
{
	uint64_t now = clock_monotonic_ms(), since = now - a->screen_at;

	if (!a->screen_timer ||
	    a->cursors[STREAM_OUT].offset >= ring_tail(a->cursors[STREAM_OUT].ring))
		return false;
	if (since < PAUSE_MS) {
		a->screen_late = true;
		uv_timer_start(a->screen_timer, on_pause_over, PAUSE_MS - since, 0);
	} else {
		begin(a);
	}
	return true;
}

bool attach_screen_pending(const struct attachment *a)
{
	return a->drawing || a->screen_late || a->screen.size > 0;
}

bool attach_screen_next(struct attachment *a)
{
	struct frame f = { .type = FRAME_SCREEN, .stream = FRAME_PTY };

	if (a->drawing || a->screen_late || a->screen.size == 0)
		return false;
	f.size = (uint32_t)MIN(a->screen.size - a->screen_sent, (size_t)PIECE_MAX);
	attach_push(a, &f);
	if (buffer_append(&a->out, a->screen.data + a->screen_sent, f.size) < 0)
		a->finished = true;
	a->screen_sent += f.size;
	if (a->screen_sent == a->screen.size) {
		buffer_done(&a->screen);
		a->screen_sent = 0;
	}
	return true;
}

static void timer_closed(uv_handle_t *handle)
{
	free(handle);
}

void attach_screen_close(struct attachment *a)
{
	screen_cancel(take(a->drawing));
	buffer_done(&a->screen);
	a->screen_late = false;
	if (a->screen_timer)
		uv_close((uv_handle_t *)take(a->screen_timer), timer_closed);
}
