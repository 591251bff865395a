/* SPDX-License-Identifier: Apache-2.0 */
#include "core/capture.h"
#include "base/cleanup.h"
#include "core/capture_run.h"
#include "core/pipes.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

/* A terminal gives less than a page at a time; the kernel makes pages for all that it is asked. */
#define PIECE 4096U
#define FEW   256 /* fewer bytes are an echo or a line, and nothing comes behind them */

static ssize_t move_piece(struct capture *c, struct capture_stream *s, size_t max)
{
	int from = s->splice_fd >= 0 ? s->splice_fd : s->fd;
	ssize_t n;

	do
		n = splice(from, NULL, c->pipe_w, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Step 1. A terminal's pieces share the rest of the step; what stops a later one stops the next
 * step as well. Of a pipe there is but one: it may hold packets, and each takes a read of its own.
 */
static ssize_t move(struct capture *c, struct capture_stream *s, size_t max)
{
	size_t total = 0;
	ssize_t n;

	if (s->pieces == 0)
		return move_piece(c, s, max);
	for (unsigned i = 0; i < s->pieces && total < max; i++) {
		n = move_piece(c, s, MIN(max - total, (size_t)PIECE));
		if (n <= 0 && total == 0)
			return n;
		word_hook(); /* what dies between two pieces is as exact as at a store */
		if (n > 0)
			total += (size_t)n;
		if (n < FEW)
			break;
	}
	return (ssize_t)total;
}

/* Step 2 from any point of it: the `left` last bytes before target are still in T. A pipe whose
 * writer set O_DIRECT gives one packet a read and drops what does not fit, so each read has room
 * for all that is left. */
static int copy_out(struct capture *c, struct capture_stream *s, uint64_t target, uint64_t left)
{
	while (left > 0) {
		struct iovec view[2];
		int pieces = ring_pieces(&s->ring, target - left, left, view);
		ssize_t n = readv(c->pipe_r, view, pieces);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= (uint64_t)n;
	}
	return 0;
}

static void finish(struct capture *c, struct capture_stream *s, uint64_t target, uint64_t when)
{
	word_store(&s->words->head, target);
	index_commit(s->index, s->stream, target, when);
	word_store(&c->daemon->move_phase, PHASE_IDLE);
}

void capture_give_notice(const struct capture_stream *s, uint64_t offset)
{
	if (!word_load(&s->words->lent) || offset < word_load(s->lent))
		return;
	word_store(s->lent, offset + 1);
	atomic_thread_fence(memory_order_seq_cst); /* nothing is overwritten before */
}

void capture_give_notice_of(const struct capture_stream *s, uint64_t n)
{
	uint64_t target = word_load(&s->words->head) + n;

	capture_give_notice(s, target > s->ring.size ? target - s->ring.size : 0);
}

ssize_t capture_step(struct capture *c, struct capture_stream *s, size_t max, uint64_t when)
{
	struct control_daemon *d = c->daemon;
	uint64_t target;
	ssize_t n;
	int r;

	if (c->can_read)
		capture_reopen(s);
	if (max > s->ring.size)
		max = s->ring.size; /* the transfer pipe may hold more than a small ring */
	capture_give_notice_of(s, max);
	word_store(&d->move_where, (uint64_t)s->slot * STREAMS_MAX + s->stream);
	word_store(&d->move_phase, PHASE_MOVING);
	n = move(c, s, max);
	if (n <= 0) {
		word_store(&d->move_phase, PHASE_IDLE);
		return n;
	}
	target = word_load(&s->words->head) + (uint64_t)n;
	word_store(&d->move_target, target);
	word_store(&d->move_phase, PHASE_COPYING);
	r = copy_out(c, s, target, (uint64_t)n);
	if (r < 0)
		return r; /* COPYING stands: capture_recover can go on from here */
	finish(c, s, target, when);
	return n;
}

bool capture_pending(const struct capture *c, unsigned *ret_slot, unsigned *ret_stream)
{
	uint64_t where = word_load(&c->daemon->move_where);

	if (word_load(&c->daemon->move_phase) == PHASE_IDLE)
		return false;
	*ret_slot = where / STREAMS_MAX;
	*ret_stream = where % STREAMS_MAX;
	return true;
}

static uint64_t throw_away(struct capture *c, struct capture_stream *s)
{
	uint64_t k = pipe_empty(c->pipe_r);

	if (s && k > 0)
		word_store(&s->words->lost, word_load(&s->words->lost) + k);
	return k;
}

static uint64_t give_up(struct capture *c, struct capture_stream *s)
{
	uint64_t k = throw_away(c, s);

	word_store(&c->daemon->move_phase, PHASE_IDLE);
	return k;
}

/* How many bytes a dead engine has taken from P and not yet accounted for, as the kernel says. */
static uint64_t taken(const struct capture *c, uint64_t phase, uint64_t head, uint64_t k)
{
	ssize_t n;

	if (phase != PHASE_READING)
		return k;
	n = uring_read_left(&c->reads, head);
	return n > 0 ? (uint64_t)n : 0;
}

/* A read that was killed while the ring's memory had to be found may have put a part of a pipe's
 * page behind the bytes up to `end` that it took: over the oldest ones, which are then gone. */
static void give_up_overwritten(const struct capture_stream *s, uint64_t end, uint64_t upto)
{
	uint64_t floor;

	if (pipe_fill(s->fd) == 0) /* no such page is left there */
		return;
	end = MIN(end + (uint64_t)sysconf(_SC_PAGESIZE), upto);
	floor = end > s->ring.size ? end - s->ring.size : 0;
	if (floor > word_load(&s->words->floor) && floor <= word_load(&s->words->head))
		word_store(&s->words->floor, floor);
}

uint64_t capture_recover(struct capture *c, struct capture_stream *s, uint64_t when)
{
	struct control_daemon *d = c->daemon;
	uint64_t phase = word_load(&d->move_phase), k = pipe_fill(c->pipe_r), head, target, n;
	uint64_t lost = 0;

	if (phase == PHASE_IDLE)
		return k > 0 ? give_up(c, s) : 0;
	if (!s)
		return give_up(c, NULL);
	if (phase == PHASE_READING && k > 0) {
		lost = throw_away(c, s);
		k = 0;
	}
	head = word_load(&s->words->head);
	if (phase == PHASE_MOVING || phase == PHASE_READING) {
		n = taken(c, phase, head, k);
		if (phase == PHASE_READING)
			give_up_overwritten(s, head + n, word_load(&d->move_target));
		if (n == 0) {
			word_store(&d->move_phase, PHASE_IDLE);
			return lost;
		}
		word_store(&d->move_target, head + n);
		word_store(&d->move_phase, PHASE_COPYING);
	}
	target = word_load(&d->move_target);
	if (target < head || k > target - head || target - head > s->ring.size)
		return give_up(c, s);
	if (copy_out(c, s, target, k) < 0)
		return give_up(c, s);
	finish(c, s, target, when);
	return lost;
}
