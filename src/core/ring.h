/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - bytes with absolute offsets, of which the newest `size` are kept.
 *
 * `head` counts all bytes ever written and lives in control memory. A ring has one writer and
 * any number of readers in the same thread; it never blocks. */
#pragma once
#include "core/control.h"
#include <stddef.h>
#include <sys/uio.h>

struct ring {
	uint8_t *data;
	uint64_t size; /* a power of two */
	struct word *head;
	const struct word *floor; /* bytes before this offset are gone in any case; NULL: 0 */
};

static inline uint64_t ring_head(const struct ring *r)
{
	return word_load(r->head);
}

/* The oldest offset that is still kept. */
static inline uint64_t ring_tail(const struct ring *r)
{
	uint64_t head = ring_head(r), tail = head > r->size ? head - r->size : 0;
	uint64_t floor = r->floor ? word_load(r->floor) : 0;

	return tail > floor ? tail : floor;
}

/* The memory of the `n` <= size bytes at the absolute offset `at`, as up to two pieces. Returns how
 * many pieces. Used for reading what is there and for writing what comes next. */
static inline int ring_pieces(const struct ring *r, uint64_t at, uint64_t n, struct iovec view[2])
{
	uint64_t first = at & (r->size - 1);

	view[0].iov_base = r->data + first;
	if (first + n <= r->size) {
		view[0].iov_len = n;
		return n > 0 ? 1 : 0;
	}
	view[0].iov_len = r->size - first;
	view[1].iov_base = r->data;
	view[1].iov_len = n - view[0].iov_len;
	return 2;
}

/* Copies up to `max` bytes from the offset `at` (tail <= at <= head). Returns how many. */
size_t ring_copy(const struct ring *r, uint64_t at, void *to, size_t max);
