/* SPDX-License-Identifier: Apache-2.0 */
#include "core/index.h"
#include <errno.h>

#define WHEN_MASK ((1ULL << 60) - 1)

void index_init(struct index *x, void *memory, uint64_t size, struct word *head)
{
	x->records = memory;
	x->capacity = size / sizeof(struct index_raw);
	x->head = head;
}

struct index_entry index_get(const struct index *x, uint64_t n)
{
	const struct index_raw *raw = &x->records[n & (x->capacity - 1)];

	return (struct index_entry){
		.when = raw->when_stream & WHEN_MASK,
		.stream = raw->when_stream >> 60,
		.end = raw->end,
	};
}

void index_commit(struct index *x, unsigned stream, uint64_t end, uint64_t when)
{
	uint64_t head = word_load(x->head);
	struct index_raw *raw;

	if (head > 0) {
		struct index_entry last = index_get(x, head - 1);

		if (last.stream == stream && last.end == end)
			return;
	}
	raw = &x->records[head & (x->capacity - 1)];
	raw->when_stream = (uint64_t)stream << 60 | (when & WHEN_MASK);
	raw->end = end;
	word_store(x->head, head + 1);
}

void index_extend(struct index *x, unsigned stream, uint64_t end, uint64_t when)
{
	uint64_t head = word_load(x->head);
	struct index_raw *raw = &x->records[(head - 1) & (x->capacity - 1)];

	if (head == 0 || raw->when_stream >> 60 != stream)
		index_commit(x, stream, end, when);
	else
		raw->end = end;
}

/* First record in [tail, head) for which `when` is not below the given one. Time may have been set
 * back, so this is exact only for a clock that runs forward. */
static uint64_t lower_bound_when(const struct index *x, uint64_t when)
{
	uint64_t low = index_tail(x), high = word_load(x->head);

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (index_get(x, middle).when < when)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int index_find(const struct index *x, unsigned stream, uint64_t offset, uint64_t *ret)
{
	uint64_t head = word_load(x->head);

	for (uint64_t n = index_tail(x); n < head; n++) {
		struct index_entry entry = index_get(x, n);

		if (entry.stream == stream && entry.end > offset) {
			*ret = n;
			return 0;
		}
	}
	return -ENOENT;
}

uint64_t index_since(const struct index *x, unsigned stream, uint64_t when, uint64_t head)
{
	uint64_t n = lower_bound_when(x, when), tail = index_tail(x), end = word_load(x->head);
	uint64_t before = n;

	while (before > tail) {
		struct index_entry entry = index_get(x, --before);

		if (entry.stream == stream)
			return entry.end;
	}
	if (tail == 0)
		return n < end ? 0 : head;
	/* The records of what came before are gone: begin with the oldest step that is known. */
	for (; n < end; n++) {
		struct index_entry entry = index_get(x, n);

		if (entry.stream == stream)
			return entry.end;
	}
	return head;
}
