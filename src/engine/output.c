/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - captures what children write, holds back for block cursors, finds the leader's last
 * byte. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/pipes.h"
#include "engine/budget.h"
#include "engine/screen.h"
#include "engine/session.h"
#include <errno.h>
#include <string.h>

#define CAPTURE_MAX      (1024 * 1024)
#define TERMINAL_BUFFERS (64 * 1024)
#define TERMINAL_PIECES  16U /* as many as the transfer pipe holds */
#define ALONE_MS         10U
#define RUN_READS        256U /* take about 100 us */

bool output_stream_exists(const struct session *s, unsigned stream)
{
	return stream < STREAMS_MAX && s->streams[stream].capture.ring.size > 0;
}

static bool blocks(const struct session *s)
{
	return word_load(&s->words->attach_mode) == 2;
}

uint64_t output_room(const struct session *s, unsigned stream)
{
	const struct ring *ring = &s->streams[stream].capture.ring;
	uint64_t acked = word_load(&s->words->streams[stream].acked), used;

	if (!blocks(s))
		return UINT64_MAX;
	used = ring_head(ring) - acked;
	return used < ring->size ? ring->size - used : 0;
}

bool output_is_held(const struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (s->streams[i].open && output_room(s, i) == 0)
			return true;
	return false;
}

static void tell_listeners(struct session *s, unsigned stream)
{
	struct listener *l = s->listeners, *next;

	for (; l; l = next) {
		next = l->next;
		if (l->output)
			l->output(l, stream);
	}
}

static void stream_closed(uv_handle_t *handle)
{
	struct stream *st = handle->data;
	struct session *s = container_of(st - st->capture.stream, struct session, streams);

	session_handle_closed(s);
}

/* A command's output mostly ends with it, and then the keeper looks at the slot by itself: it sees
 * which streams have ended, and need not be woken for each. Either the exit is not there yet, and
 * what was stored before is seen after it, or it is; so the fence. */
static bool keeper_will_close(const struct session *s)
{
	if (session_is_pty(s) || word_load(&s->words->spawn) != SPAWN_STARTED)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	return !word_load(&s->words->exit.ready);
}

static void end_stream(struct session *s, unsigned stream)
{
	struct stream *st = &s->streams[stream];
	enum slot_fd fd = stream == STREAM_OUT ? SLOT_FD_OUT : SLOT_FD_ERR;

	if (!st->open)
		return;
	screen_note_size(s);
	word_store(&st->capture.words->ended, 1);
	uv_close((uv_handle_t *)&st->poll, stream_closed);
	st->open = st->polling = false;
	capture_close(&st->capture);
	s->fds[fd] = fd_close(s->fds[fd]);
	if (!keeper_will_close(s))
		link_tell(s->engine, LINK_CLOSE, s->slot, 1U << fd);
	if (session_is_pty(s))
		input_end(s); /* both ways end together */
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void set_polling(struct stream *st, bool on)
{
	if (!st->open || st->polling == on)
		return;
	st->polling = on;
	if (on)
		uv_poll_start(&st->poll, UV_READABLE, on_readable);
	else
		uv_poll_stop(&st->poll);
}

enum captured {
	CAPTURED, /* bytes, or the end of the stream */
	NOTHING,
	BLOCKED, /* by a block cursor: nothing was tried */
};

/* The kernel says EIO when nobody has the terminal open any more. */
static bool is_end(const struct session *s, ssize_t n)
{
	return n == 0 || (n == -EIO && session_is_pty(s));
}

/* Whether the next step reads (core/capture.h). What gives much at a time is spliced. */
static bool is_read(const struct engine *e, const struct stream *st)
{
	enum flood_way way = flood_way(&e->flood, st);

	if (!e->capture.can_read || st->capture.no_read || st->capture.pieces > 0)
		return false;
	return way == FLOOD_NOT ? !st->large : way == FLOOD_SMALL;
}

static ssize_t take_some(struct engine *e, struct stream *st, uint64_t room)
{
	bool many = flood_way(&e->flood, st) == FLOOD_SMALL;
	ssize_t n;

	if (is_read(e, st))
		n = capture_run(&e->capture, &st->capture, room, clock_realtime_us(),
				many ? RUN_READS : 1, &e->flood.large);
	else
		n = capture_step(&e->capture, &st->capture, room, clock_realtime_us());
	st->large = n >= (ssize_t)CAPTURE_LARGE;
	return n;
}

static enum captured capture_once(struct session *s, unsigned stream)
{
	struct stream *st = &s->streams[stream];
	uint64_t room = output_room(s, stream), before;
	ssize_t n;

	if (room == 0) {
		set_polling(st, false);
		return BLOCKED;
	}
	before = budget_of_ring(&st->capture.ring);
	room = screen_before_capture(s, MIN(room, (uint64_t)CAPTURE_MAX));
	n = take_some(s->engine, st, room);
	if (n == -EAGAIN)
		return NOTHING;
	budget_add(s->engine, budget_of_ring(&st->capture.ring) - before);
	if (n < 0 && !is_end(s, n)) {
		/* A broken pipe of our own, or a copy that stopped half-way. */
		log_error("%s: capture of stream %u: %s", s->id, stream, strerror((int)-n));
		if (capture_recover(&s->engine->capture, &st->capture, clock_realtime_us()) > 0)
			log_error("%s: bytes were lost", s->id);
	}
	if (n <= 0)
		end_stream(s, stream);
	else
		screen_captured(s);
	return CAPTURED;
}

void output_give_way(struct engine *e)
{
	e->alone.stream = NULL;
}

/* A terminal gives 4 KiB at a time. One that writes alone is read many times in one step; where
 * anything else goes on, too, others get their turn after each time. */
static void set_pieces(struct session *s, struct stream *st)
{
	struct engine *e = s->engine;
	uint64_t now = uv_now(&e->loop);

	if (e->alone.stream != st)
		e->alone.since = now;
	e->alone.stream = st;
	if (session_is_pty(s))
		st->capture.pieces = now - e->alone.since >= ALONE_MS ? TERMINAL_PIECES : 1;
}

static bool is_handed_on(const struct session *s)
{
	for (const struct listener *l = s->listeners; l; l = l->next)
		if (l->hands_on)
			return true;
	return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct stream *st = poll->data;
	unsigned stream = st->capture.stream;
	struct session *s = container_of(st - stream, struct session, streams);
	uint64_t before = word_load(&st->capture.words->head), begin;
	enum captured r;

	(void)status;
	(void)events;
	if (!is_read(s->engine, st))
		flood_gather(&s->engine->flood, st);
	begin = clock_monotonic_us();
	set_pieces(s, st);
	r = capture_once(s, stream);
	if (r == BLOCKED && s->settled)
		session_notify(s); /* who waits for its end need not wait for that reader */
	if (r != CAPTURED)
		return;
	flood_step(&s->engine->flood, st, word_load(&st->capture.words->head) - before,
		   !session_is_pty(s) && !is_handed_on(s), begin, clock_monotonic_us());
	session_hold(s);
	tell_listeners(s, stream);
	if (s->settled && !session_exited(s))
		output_check_exit(s);
	session_let_go(s);
}

static int open_stream(struct session *s, unsigned stream)
{
	struct stream *st = &s->streams[stream];
	enum slot_fd fd = stream == STREAM_OUT ? SLOT_FD_OUT : SLOT_FD_ERR;
	int r;

	st->capture.index = &s->index;
	st->capture.splice_fd = -1;
	st->capture.slot = s->slot;
	st->capture.stream = stream;
	st->capture.pieces = session_is_pty(s);
	st->capture.words = &s->words->streams[stream];
	st->capture.lent = (struct word *)((char *)s->map + s->layout.lent) + stream;
	st->capture.ring = (struct ring){
		.data = (uint8_t *)s->map + s->layout.out[stream],
		.size = word_load(&s->words->out_size[stream]),
		.head = &s->words->streams[stream].head,
		.floor = &s->words->streams[stream].floor,
	};
	budget_add(s->engine, budget_of_ring(&st->capture.ring));
	st->capture.fd = s->fds[fd];
	if (s->fds[fd] < 0)
		return 0;
	if (word_load(&st->capture.words->ended)) {
		s->fds[fd] = fd_close(s->fds[fd]); /* known before, and not told to the keeper */
		link_tell(s->engine, LINK_CLOSE, s->slot, 1U << fd);
		return 0;
	}
	r = uv_poll_init(&s->engine->loop, &st->poll, s->fds[fd]);
	if (r < 0)
		return r;
	st->poll.data = st;
	st->open = true;
	s->n_handles++;
	set_polling(st, true);
	return 0;
}

int output_open(struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		int r = open_stream(s, i);

		if (r < 0)
			return r;
	}
	return 0;
}

void output_close(struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct stream *st = &s->streams[i];

		if (!st->open)
			continue;
		st->open = st->polling = false;
		capture_close(&st->capture);
		uv_poll_stop(&st->poll);
		uv_close((uv_handle_t *)&st->poll, stream_closed);
	}
}

void output_end(struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		end_stream(s, i);
}

void output_resume(struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (s->streams[i].open && output_room(s, i) > 0)
			set_polling(&s->streams[i], true);
}

/* A terminal's buffers cannot be counted. What the leader wrote is complete when there is nothing
 * more to take after its end, or when more was taken than the buffers hold: that came from others.
 * Then the keeper's own slave may go, and the stream ends when nobody else has the terminal. */
static bool drain_terminal(struct session *s)
{
	struct stream *st = &s->streams[STREAM_OUT];
	uint64_t from = word_load(&st->capture.words->head);
	enum captured r = CAPTURED;

	while (st->open && r == CAPTURED &&
	       word_load(&st->capture.words->head) - from < TERMINAL_BUFFERS)
		r = capture_once(s, STREAM_OUT);
	if (word_load(&st->capture.words->head) > from)
		tell_listeners(s, STREAM_OUT);
	if (r == BLOCKED)
		return false;
	word_store(&st->capture.words->leader_end, 1 + word_load(&st->capture.words->head));
	link_tell(s->engine, LINK_CLOSE, s->slot, 1U << SLOT_FD_SLAVE);
	return true;
}

bool output_leader_over(const struct session *s)
{
	return word_load(&s->words->streams[STREAM_OUT].leader_end) != 0;
}

/* Whether the leader's own output of this stream is in the ring. What it wrote to a pipe is in the
 * pipe by now: it is dead. Between two steps the transfer pipe is empty. */
static bool leader_complete(struct session *s, unsigned stream)
{
	struct stream *st = &s->streams[stream];
	struct control_stream *words = st->capture.words;

	if (!output_stream_exists(s, stream))
		return true;
	if (word_load(&words->leader_end) == 0) {
		if (session_is_pty(s))
			return drain_terminal(s);
		word_store(&words->leader_end, 1 + word_load(&words->head) +
						       (st->open ? pipe_fill(st->capture.fd) : 0));
	}
	return !st->open || word_load(&words->head) >= word_load(&words->leader_end) - 1;
}

void output_check_exit(struct session *s)
{
	bool complete = true;

	if (session_exited(s) || !word_load(&s->words->exit.ready))
		return;
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		complete &= leader_complete(s, i);
	if (complete)
		session_publish_exit(s);
}
