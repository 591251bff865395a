/* SPDX-License-Identifier: Apache-2.0 */
#include "core/layout.h"
#include <errno.h>

static bool is_ring_size(uint64_t size)
{
	return size == 0 ||
	       (size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0);
}

int layout_of(const struct control_slot *slot, struct layout *ret)
{
	struct layout l = { 0 };
	uint64_t meta = word_load(&slot->meta_size), index = word_load(&slot->index_size);
	uint64_t in = word_load(&slot->in_size), screen = word_load(&slot->screen_size);

	if (meta == 0 || meta > META_SIZE_MAX || meta % LAYOUT_PAGE != 0 || index == 0 ||
	    !is_ring_size(index) || !is_ring_size(in) || (screen != 0 && screen != SCREEN_SIZE))
		return -EINVAL;
	l.notes = l.meta + meta;
	l.lent = l.notes + NOTES_SIZE - STOP_REASON_MAX - LENT_SIZE;
	l.index = l.notes + NOTES_SIZE;
	l.in = l.index + index;
	l.size = l.in + in;
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		uint64_t out = word_load(&slot->out_size[i]);

		if (!is_ring_size(out))
			return -EINVAL;
		l.out[i] = l.size;
		l.size += out;
	}
	l.screen = l.size;
	l.size += screen;
	*ret = l;
	return 0;
}

uint64_t layout_index_size(uint64_t out_total)
{
	uint64_t size = INDEX_SIZE_MIN;

	while (size < out_total / 128 * 16 && size < RING_SIZE_MAX)
		size *= 2;
	return size;
}
