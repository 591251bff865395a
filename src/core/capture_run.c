/* SPDX-License-Identifier: Apache-2.0 */
/* capture_run.c - capture without the transfer pipe: reads that post their results. */
#include "core/capture_run.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PATIENCE 8U /* reads of nothing: the writer is in between two writes */

void capture_reopen(struct capture_stream *s)
{
	char path[sizeof("/proc/self/fd/") + 16];

	if (s->splice_fd >= 0 || s->no_read || s->pieces > 0)
		return;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	s->splice_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	s->no_read = s->splice_fd < 0;
}

void capture_close(struct capture_stream *s)
{
	s->splice_fd = fd_close(s->splice_fd);
}

/* `goes_on`: what the index has as its newest step does. */
static ssize_t read_once(struct capture *c, struct capture_stream *s, size_t max, uint64_t when,
			 bool goes_on)
{
	struct control_daemon *d = c->daemon;
	uint64_t head = word_load(&s->words->head), target = head;
	struct iovec view[2];
	int pieces = ring_pieces(&s->ring, head, max, view);
	ssize_t n;

	word_store(&d->move_target, head + max); /* so far it may put bytes */
	word_store(&d->move_phase, PHASE_READING);
	n = uring_read(&c->reads, s->fd, view, pieces, head);
	if (n > 0) {
		target += (uint64_t)n;
		word_store(&d->move_target, target);
		word_store(&d->move_phase, PHASE_COPYING);
	} else {
		word_store(&d->move_phase, PHASE_IDLE);
	}
	uring_read_taken(&c->reads); /* not before the phase says that it counts no more */
	if (n <= 0)
		return n;
	word_store(&s->words->head, target);
	if (goes_on)
		index_extend(s->index, s->stream, target, when);
	else
		index_commit(s->index, s->stream, target, when);
	word_store(&d->move_phase, PHASE_IDLE);
	return n;
}

static ssize_t read_some(struct capture *c, struct capture_stream *s, size_t max, uint64_t when,
			 unsigned reads, bool *ret_large)
{
	/* A read throws away what it has no room for of a packet, which is a page at most. */
	const size_t least = (size_t)sysconf(_SC_PAGESIZE);
	size_t total = 0;
	unsigned some = 0, none = 0;
	ssize_t n = -ENOBUFS;

	while (some + none < reads && max - total >= least) {
		n = read_once(c, s, max - total, when, total > 0);
		if (n == -EAGAIN && ++none % PATIENCE != 0)
			continue;
		if (n <= 0)
			break;
		total += (size_t)n;
		some++;
	}
	*ret_large = some > 0 && total / some >= CAPTURE_LARGE;
	return total > 0 ? (ssize_t)total : n;
}

ssize_t capture_run(struct capture *c, struct capture_stream *s, size_t max, uint64_t when,
		    unsigned reads, bool *ret_large)
{
	ssize_t n;

	*ret_large = false;
	max = MIN(max, s->ring.size);
	if (!c->can_read || s->no_read || s->pieces > 0)
		return capture_step(c, s, max, when);
	capture_give_notice_of(s, max);
	word_store(&c->daemon->move_where, (uint64_t)s->slot * STREAMS_MAX + s->stream);
	n = read_some(c, s, max, when, reads, ret_large);
	if (n >= 0 || n == -EAGAIN)
		return n;
	/* Nothing was taken. Whatever is wrong with the pipe, the other way says so as well. */
	s->no_read = n != -ENOBUFS;
	return capture_step(c, s, max, when);
}
