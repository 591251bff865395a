/* SPDX-License-Identifier: Apache-2.0 */
/* uring_read.h - a read whose result outlives whoever asked for it.
 *
 * read(2) tells how much it took in a register: when the caller is killed in it, nobody knows.
 * io_uring writes the same number into a completion ring, before the call comes back. The keeper
 * holds one ring for the daemon's whole life, and each engine maps it: so the successor of a killed
 * one finds the number there.
 *
 * One read at a time, and never one that waits: it is over before io_uring_enter(2) returns, in the
 * caller itself. A caller that is killed was either not in that call, then nothing was taken and
 * the request at most stands in the ring, or it has finished it, then the result is posted. (What
 * would not be over by then, the kernel ends and posts before it lets the caller be reaped.)
 * Whoever begins with a ring first brings it back in step, uring_read_open().
 *
 * The descriptor of a ring cannot be sent over a socket (Linux 6.7), only be inherited. It takes
 * two pages, and some KiB of the kernel's own.
 *
 * Needs pipes that can be read so (Linux 6.4), and a system that lets this user have io_uring.
 * liburing would save little: what takes care here is what it does for one process only.
 *
 * One thread. Sources: io_uring_setup(2), io_uring_enter(2), Linux 6.18 io_uring/. */
#pragma once
#include "core/control.h"
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct uring_read {
	int fd;      /* borrowed */
	void *rings; /* NULL: not mapped, and nothing else is set */
	size_t size;
	void *requests, *results;
	uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
};

/* A new ring; stores in `words` where it has what. Returns its descriptor. */
int uring_read_make(struct control_reads *words);

/* Maps a ring. Once that is done uring_read_left() tells what a predecessor left. */
int uring_read_map(struct uring_read *u, int fd, const struct control_reads *words);

/* Forgets what a predecessor left, and tries the ring out. Returns a negative errno where this
 * kernel or this user cannot do that. */
int uring_read_open(struct uring_read *u);
void uring_read_close(struct uring_read *u);

/* Reads from a pipe what is there; `name` tells the result from others. Returns the number of
 * bytes, 0 at its end, -EAGAIN when there is nothing, another negative errno of the read. The
 * result stays posted until uring_read_taken(). -EOPNOTSUPP: somebody has used splice(2) on the
 * open pipe before, which forbids this for ever. -EBUSY: the kernel did not take the request, and
 * nothing was read or is posted. */
ssize_t uring_read(struct uring_read *u, int fd, const struct iovec *view, int pieces,
		   uint64_t name);
void uring_read_taken(struct uring_read *u);

/* The result of that name that a predecessor left and did not take; -EAGAIN when there is none. */
ssize_t uring_read_left(const struct uring_read *u, uint64_t name);
