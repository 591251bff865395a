/* SPDX-License-Identifier: Apache-2.0 */
/* observe_sinks.c - what a session's subscribers want, and how much of it waits. */
#include "engine/observe_memory.h"
#include <errno.h>

unsigned events_set_of(const struct events_subscriber *s)
{
	unsigned set = 0;

	for (unsigned i = 0; s->number != 0 && i < s->n; i++)
		set |= category_bit((enum reeve_category)s->categories[i]);
	return set;
}

unsigned events_wanted(const struct events_memory *m)
{
	const struct events_state *s = events_state(m);
	unsigned set = 0;

	for (unsigned i = 0; i < s->places; i++)
		set |= events_set_of(&s->subscribers[i]);
	return set;
}

int events_find(const struct events_memory *m, uint64_t number)
{
	const struct events_state *s = events_state(m);

	for (unsigned i = 0; number != 0 && i < s->places; i++)
		if (s->subscribers[i].number == number)
			return (int)i;
	return -ENOENT;
}

uint64_t events_waiting(const struct events_subscriber *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		n += s->waiting[i];
	return n;
}

bool events_full(const struct events_memory *m, bool was_full)
{
	const struct events_state *s = events_state(m);

	for (unsigned i = 0; i < s->places * EVENTS_RINGS; i++) {
		const struct events_subscriber *sub = &s->subscribers[i / EVENTS_RINGS];
		uint64_t limit = was_full ? sub->capacity / 2 + 1 : sub->capacity;

		if (sub->number != 0 && sub->block && sub->waiting[i % EVENTS_RINGS] >= limit)
			return true;
	}
	return false;
}
