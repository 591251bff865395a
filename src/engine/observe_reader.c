/* SPDX-License-Identifier: Apache-2.0 */
/* observe_reader.c - who reads the events of a subscription: one at a time. */
#include "engine/observe.h"

static struct observe_reader *reader_of(const struct observed *o, uint64_t number)
{
	struct observe_reader *r = o->readers;

	while (r && r->number != number)
		r = r->next;
	return r;
}

bool observe_is_read(const struct observed *o, uint64_t number)
{
	return reader_of(o, number) != NULL;
}

void observe_end_reader(struct observed *o, uint64_t number)
{
	struct observe_reader *r = reader_of(o, number);

	if (!r)
		return;
	observe_unread(r);
	r->ended(r);
}

void observe_read(struct observed *o, struct observe_reader *r)
{
	int place = events_find(&o->memory, r->number);
	struct events_state *state;

	observe_end_reader(o, r->number);
	r->next = o->readers;
	r->back = &o->readers;
	if (r->next)
		r->next->back = &r->next;
	o->readers = r;
	if (place < 0 || events_state(&o->memory)->subscribers[place].connected)
		return;
	state = events_change(&o->memory);
	state->subscribers[place].connected = 1;
	events_commit(&o->memory);
}

void observe_unread(struct observe_reader *r)
{
	if (!r->back)
		return;
	*r->back = r->next;
	if (r->next)
		r->next->back = r->back;
	r->next = NULL;
	r->back = NULL;
}
