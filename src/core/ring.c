/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ring.h"
#include "core/cursor.h"
#include <string.h>

size_t ring_copy(const struct ring *r, uint64_t at, void *to, size_t max)
{
	struct iovec view[2];
	uint64_t n = ring_head(r) - at;
	int pieces;
	size_t done = 0;

	if (n > max)
		n = max;
	pieces = ring_pieces(r, at, n, view);
	for (int i = 0; i < pieces; i++) {
		memcpy((char *)to + done, view[i].iov_base, view[i].iov_len);
		done += view[i].iov_len;
	}
	return done;
}

void cursor_init(struct cursor *c, const struct ring *ring, uint64_t offset)
{
	uint64_t head = ring_head(ring);

	c->ring = ring;
	c->dropped = 0;
	c->offset = offset < head ? offset : head;
	cursor_catch_up(c);
}

uint64_t cursor_catch_up(struct cursor *c)
{
	uint64_t tail = ring_tail(c->ring), skipped;

	if (c->offset >= tail)
		return 0;
	skipped = tail - c->offset;
	c->dropped += skipped;
	c->offset = tail;
	return skipped;
}

size_t cursor_peek(struct cursor *c, size_t max, struct iovec view[2], int *ret_pieces)
{
	uint64_t n;

	cursor_catch_up(c);
	n = ring_head(c->ring) - c->offset;
	if (n > max)
		n = max;
	*ret_pieces = ring_pieces(c->ring, c->offset, n, view);
	return n;
}
