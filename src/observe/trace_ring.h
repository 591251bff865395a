/* SPDX-License-Identifier: Apache-2.0 */
/* trace_ring.h - events from a tracer to whoever observes, through shared memory that outlives the
 * reader. One writer, one reader. A full ring makes the writer wait, so nothing is lost; when there
 * is no reader any more, it throws away. Places are absolute, the bytes ever written. */
#pragma once
#include "reeve/observer.h"
#include <stdatomic.h>
#include <stdbool.h>

#define TRACE_RING_SIZE (1U << 20)

struct trace_ring_shared {
	_Atomic uint64_t head, tail;
	_Atomic uint32_t reader_sleeps, writer_waits;
	_Atomic uint32_t muted;                       /* nobody wants any more */
	_Atomic uint32_t done;                        /* the writer has said all there is to say */
	_Atomic uint32_t wanted, each;                /* the reader's: tracer.h */
	_Atomic uint64_t lost[REEVE_CATEGORIES];      /* the writer had no room to remember it */
	_Atomic uint64_t lost_told[REEVE_CATEGORIES]; /* the reader's */
};

struct trace_ring {
	struct trace_ring_shared *shared;
	char *data;
	int memory, sock; /* the socket wakes the other side */
};

/* A new one: `*ret_peer` is the other end of the socket, for the writer. -ENOMEM, -EMFILE. */
int trace_ring_new(struct trace_ring *ret, int *ret_peer);

/* Over descriptors that are there; takes them on success. */
int trace_ring_open(struct trace_ring *ret, int memory, int sock);
void trace_ring_close(struct trace_ring *r);

/* Waits for room. */
void trace_ring_write(struct trace_ring *r, const struct reeve_event *e);

/* The next event from place `*at` on, which moves behind it: 1, or 0 when there is none now. The
 * event is the caller's. -EBADMSG, -ENOMEM. */
int trace_ring_read(struct trace_ring *r, uint64_t *at, struct reeve_event **ret);

/* The socket is not readable any more. False: the writer has ended. */
bool trace_ring_awake(struct trace_ring *r);

/* Makes the socket readable with the next event; until then each costs the writer less. False when
 * there is one at `at` already. */
bool trace_ring_sleep(struct trace_ring *r, uint64_t at);

/* What lies before `at` is not needed any more. */
void trace_ring_consume(struct trace_ring *r, uint64_t at);
