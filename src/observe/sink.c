/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/sink.h"
#include "base/cleanup.h"
#include "observe/event.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int sink_init(struct sink *s, size_t capacity)
{
	if (capacity == 0 || capacity > REEVE_SUBSCRIBER_CAPACITY_MAX)
		return -EINVAL;
	memset(s, 0, sizeof(*s));
	s->places = calloc(capacity, sizeof(*s->places));
	s->sizes = calloc(capacity, sizeof(*s->sizes));
	if (!s->places || !s->sizes) {
		sink_done(s);
		return -ENOMEM;
	}
	s->capacity = capacity;
	return 0;
}

/* Removes the oldest. The caller's. */
static void *pop(struct sink *s)
{
	void *bytes = take(s->places[s->first]);

	s->bytes -= s->sizes[s->first];
	s->first = (s->first + 1) % s->capacity;
	s->n--;
	return bytes;
}

void sink_done(struct sink *s)
{
	while (s->n > 0)
		free(pop(s));
	freep(&s->places);
	freep(&s->sizes);
	memset(s, 0, sizeof(*s));
}

void sink_missed(struct sink *s, enum reeve_category category, uint64_t n)
{
	s->counts.missed += n;
	if ((unsigned)category < REEVE_CATEGORIES)
		s->counts.missed_by[category] += n;
}

/* The category of the oldest. */
static enum reeve_category category_of_first(const struct sink *s)
{
	return event_packed_category(s->places[s->first]);
}

void sink_put(struct sink *s, const struct reeve_event *e)
{
	size_t size = event_size(e);
	void *bytes = malloc(size);
	size_t place;

	if (!bytes) {
		sink_missed(s, e->category, 1);
		return;
	}
	size = event_pack(e, bytes);
	while (s->n == s->capacity || (s->n > 0 && s->bytes + size > SINK_BYTES_MAX)) {
		sink_missed(s, category_of_first(s), 1);
		free(pop(s));
	}
	place = (s->first + s->n) % s->capacity;
	s->places[place] = bytes;
	s->sizes[place] = (uint32_t)size;
	s->bytes += size;
	s->n++;
	s->counts.delivered++;
	if ((unsigned)e->category < REEVE_CATEGORIES)
		s->counts.delivered_by[e->category]++;
}

int sink_take(struct sink *s, struct reeve_event **ret)
{
	int r;

	if (s->n == 0)
		return -EAGAIN;
	r = event_unpack(s->places[s->first], s->sizes[s->first], ret);
	if (r < 0)
		return r;
	free(pop(s));
	return 0;
}
