/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/attachment.h"
#include "base/clock.h"
#include "engine/attachment_private.h"
#include "engine/owner.h"
#include <errno.h>
#include <sys/socket.h>

#define READ_MAX  (64U * 1024U)
#define QUEUE_MAX (512U * 1024U) /* a half-sent frame, and control frames behind it */

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct attachment *a = poll->data;

	if (a->session)
		output_give_way(a->session->engine);
	if (status < 0) { /* an error of the socket: the other side is closed */
		attach_hear_last_words(a);
		attach_finish(a);
		return;
	}
	if (events & UV_READABLE) {
		uint8_t bytes[READ_MAX];
		ssize_t n = recv(a->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			attach_finish(a);
			return;
		}
		if (n > 0)
			attach_take_bytes(a, bytes, (size_t)n);
	}
	attach_pump(a);
}

void attach_set_events(struct attachment *a, int events)
{
	if (events == 0)
		events = UV_DISCONNECT;
	if (a->events == events)
		return;
	a->events = events;
	uv_poll_start(&a->poll, events, on_event);
}

static void give_up_control(struct attachment *a)
{
	struct session *s = a->session;

	if (!s || !a->controlling || s->controller != a)
		return;
	s->controller = NULL;
	if (a->ending || a->mode != ATTACH_BLOCK) {
		/* It has said goodbye, or was told to go: nobody comes back for this place. Where
		 * nobody waits for a lost client there is no place to keep, either. */
		if (a->ending)
			owner_forget_client(s);
		word_store(&s->words->attach_mode, ATTACH_NONE);
		word_store(&s->words->token[0], 0);
		word_store(&s->words->token[1], 0);
		output_resume(s);
		return;
	}
	word_store(&s->words->lease, clock_boottime_ms() + ATTACH_LEASE_MS);
	attachment_lease_check(s);
}

static void loan_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void timer_closed(uv_handle_t *handle)
{
	struct attachment *a = handle->data;

	uv_close((uv_handle_t *)&a->loan.timer, loan_timer_closed);
}

static void poll_closed(uv_handle_t *handle)
{
	struct attachment *a = handle->data;

	a->closed(a->data);
	buffer_done(&a->out);
	buffer_done(&a->input);
	buffer_done(&a->unread);
	uv_close((uv_handle_t *)&a->accepted_timer, timer_closed);
}

void attach_finish(struct attachment *a)
{
	if (uv_is_closing((uv_handle_t *)&a->poll))
		return;
	a->finished = true;
	attach_screen_close(a);
	attach_loan_close(a);
	session_unlisten(&a->listener);
	give_up_control(a);
	a->session = NULL;
	uv_poll_stop(&a->poll);
	uv_timer_stop(&a->accepted_timer);
	uv_close((uv_handle_t *)&a->poll, poll_closed);
}

void attachment_end(struct attachment *a, enum frame_reason reason)
{
	struct frame f = { .type = FRAME_ENDED, .reason = (uint8_t)reason };

	if (a->ending)
		return;
	/* A frame that is half sent is completed before anything else. */
	attach_complete_body(a);
	attach_push_accepted(a);
	attach_push(a, &f);
	a->ending = true;
	give_up_control(a); /* before it is told: it may then ask for what it has left */
}

void attachment_dismiss(struct session *s)
{
	if (s->controller)
		attachment_end(s->controller, FRAME_TERMINATED);
}

static void on_output(struct listener *l, unsigned stream)
{
	struct attachment *a = container_of(l, struct attachment, listener);

	if (a->want[stream] && !(a->events & UV_WRITABLE))
		attach_pump(a);
}

static void on_changed(struct listener *l)
{
	struct attachment *a = container_of(l, struct attachment, listener);

	attach_unstick(a);
	attach_offer_accepted(a);
	if (!(a->events & UV_WRITABLE))
		attach_pump(a);
}

static void on_gone(struct listener *l)
{
	struct attachment *a = container_of(l, struct attachment, listener);

	attachment_end(a, FRAME_TERMINATED);
	attach_screen_close(a);
	give_up_control(a);
	a->session = NULL;
	attach_pump(a);
}

static void place_cursor(struct attachment *a, unsigned stream, const struct attach_place *place)
{
	const struct ring *ring = &a->session->streams[stream].capture.ring;
	uint64_t offset = place->offset;

	if (place->from == FROM_START)
		offset = ring_tail(ring);
	else if (place->from == FROM_NOW)
		offset = ring_head(ring);
	else if (place->from == FROM_DELIVERED)
		offset = a->controlling ? word_load(&a->session->words->streams[stream].acked)
					: ring_tail(ring);
	cursor_init(&a->cursors[stream], ring, offset);
	/* A block cursor's place is where it starts; it may be behind what was acknowledged before.
	 */
	if (a->controlling)
		word_store(&a->session->words->streams[stream].acked, a->cursors[stream].offset);
}

struct attachment *attachment_new(struct session *s, const struct attach_options *o, int fd,
				  const void *extra, size_t n_extra, void (*closed)(void *data),
				  void *data)
{
	static const struct attach_place now = { .from = FROM_NOW };
	struct attachment *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->session = s;
	a->fd = fd;
	a->mode = o->mode;
	a->controlling = !o->read_only;
	a->numbers = o->numbers && a->controlling;
	a->closed = closed;
	a->data = data;
	a->decoder.from = FRAME_FROM_CLIENT;
	buffer_init(&a->out, QUEUE_MAX);
	buffer_init(&a->input, READ_MAX);
	buffer_init(&a->unread, READ_MAX);
	a->listener = (struct listener){
		.output = on_output, .changed = on_changed, .gone = on_gone, .hands_on = true
	};
	if (uv_poll_init(&s->engine->loop, &a->poll, fd) < 0) {
		free(a);
		return NULL;
	}
	uv_timer_init(&s->engine->loop, &a->accepted_timer);
	a->poll.data = a->accepted_timer.data = a;
	attach_loan_open(a, o);
	session_listen(s, &a->listener);
	if (a->controlling) {
		if (s->controller) {
			struct attachment *old = s->controller;

			s->controller =
				a; /* first, so that the old one's leaving changes nothing */
			attachment_end(old, FRAME_STOLEN);
			attach_pump(old);
		}
		s->controller = a;
		word_store(&s->words->lease, 0);
	}
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		a->want[i] = o->want[i];
		if (o->want[i])
			place_cursor(a, i, o->restore ? &now : &o->place[i]);
	}
	attach_push_start(a);
	attach_screen_open(a, o);
	if (n_extra > 0)
		attach_take_bytes(a, extra, n_extra);
	output_resume(s);
	attach_pump(a);
	return a;
}
