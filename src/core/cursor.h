/* SPDX-License-Identifier: Apache-2.0 */
/* cursor.h - one reader's place in a ring. Costs a few words; never blocks the writer. */
#pragma once
#include "core/ring.h"

struct cursor {
	const struct ring *ring;
	uint64_t offset;  /* next byte to read, absolute */
	uint64_t dropped; /* bytes overwritten before they were read, ever */
};

/* Puts the cursor at `offset`, clamped to what exists: bytes that are gone count as dropped, an
 * offset beyond the head becomes the head. */
void cursor_init(struct cursor *c, const struct ring *ring, uint64_t offset);

/* Skips over what the writer has overwritten and counts it. Returns the number of bytes skipped. */
uint64_t cursor_catch_up(struct cursor *c);

/* Views up to `max` readable bytes as up to two pieces (the ring wraps); catches up first.
 * Returns the number of bytes viewed; `*ret_pieces` the number of pieces. */
size_t cursor_peek(struct cursor *c, size_t max, struct iovec view[2], int *ret_pieces);

/* Moves past `n` viewed bytes. */
static inline void cursor_advance(struct cursor *c, size_t n)
{
	c->offset += n;
}
