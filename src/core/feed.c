/* SPDX-License-Identifier: Apache-2.0 */
#include "core/feed.h"
#include "core/pipes.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Fits U (64 KiB, sixteen pages) however the pieces lie. */
#define FEED_MAX 32768

/* Puts up to FEED_MAX bytes into the empty U; returns how many. */
static ssize_t fill(struct feed *f, struct feed_target *t, uint64_t from, uint64_t n)
{
	struct iovec view[2];
	int pieces = ring_pieces(&t->ring, from, n, view);
	ssize_t w;

	do
		w = writev(f->pipe_w, view, pieces);
	while (w < 0 && errno == EINTR);
	return w < 0 ? -errno : w;
}

/* Lets the child take from U what it will. Returns 1 when that was all, 0, or -EPIPE and the like.
 */
static int drain(struct feed *f, struct feed_target *t, uint64_t n)
{
	while (n > 0) {
		ssize_t w =
			splice(f->pipe_r, NULL, t->fd, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (w == 0)
			return 0;
		n -= (uint64_t)w;
	}
	return 1;
}

/* `left` is still in U. */
static void settle(struct feed *f, struct word *delivered, uint64_t upto, uint64_t left)
{
	word_store(delivered, upto - left);
	word_store(&f->daemon->feed_phase, PHASE_IDLE);
	if (left > 0)
		pipe_empty(f->pipe_r);
}

ssize_t feed_step(struct feed *f, struct feed_target *t)
{
	struct control_daemon *d = f->daemon;
	uint64_t from = word_load(t->delivered), n = ring_head(&t->ring) - from;
	ssize_t filled;
	int r;

	if (n == 0)
		return 0;
	if (n > FEED_MAX)
		n = FEED_MAX;
	word_store(&d->feed_slot, t->slot);
	word_store(&d->feed_phase, PHASE_FILLING);
	filled = fill(f, t, from, n);
	if (filled <= 0) {
		word_store(&d->feed_phase, PHASE_IDLE);
		pipe_empty(f->pipe_r);
		return filled < 0 ? filled : -EAGAIN;
	}
	word_store(&d->feed_upto, from + (uint64_t)filled);
	word_store(&d->feed_phase, PHASE_DRAINING);
	r = drain(f, t, (uint64_t)filled);
	settle(f, t->delivered, from + (uint64_t)filled, r > 0 ? 0 : pipe_fill(f->pipe_r));
	if (word_load(t->delivered) > from)
		return (ssize_t)(word_load(t->delivered) - from);
	return r < 0 ? r : -EAGAIN;
}

bool feed_pending(const struct feed *f, unsigned *ret_slot)
{
	*ret_slot = (unsigned)word_load(&f->daemon->feed_slot);
	return word_load(&f->daemon->feed_phase) != PHASE_IDLE;
}

void feed_recover(struct feed *f, struct word *delivered)
{
	struct control_daemon *d = f->daemon;

	if (word_load(&d->feed_phase) == PHASE_DRAINING && delivered) {
		settle(f, delivered, word_load(&d->feed_upto), pipe_fill(f->pipe_r));
		return;
	}
	word_store(&d->feed_phase, PHASE_IDLE);
	pipe_empty(f->pipe_r);
}
