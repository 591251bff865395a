/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/observe_memory.h"
#include "base/fd.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC        0x72656576652d6576ULL /* "reeve-ev" */
#define VERSION      2U
#define USUAL        1024U /* bytes that few events are longer than, for the size of a ring */
#define HEADER_SIZE  ((sizeof(struct events_header) + 4095) & ~4095ULL)
#define NO_CATEGORY  UINT32_MAX
#define ROUND_UP8(n) (((n) + 7) & ~(uint64_t)7)

/* Records are contiguous and 8-byte aligned; the rest of the ring before its end is filled by one
 * without a category when the next does not fit there. */
struct record {
	uint32_t size; /* of all */
	uint32_t category;
};

struct event_record {
	struct record record;
	uint64_t bytes;                 /* of the packed event */
	uint64_t seq[REEVE_CATEGORIES]; /* of all categories, with this event */
};

/* --- memory ---------------------------------------------------------------------------------- */

static int map(struct events_memory *m, int fd, uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*m = (struct events_memory){ .header = p, .ring = (char *)p + HEADER_SIZE, .size = size };
	return 0;
}

int events_make(struct events_memory *m, uint64_t capacity, int *ret_fd)
{
	uint64_t ring = EVENTS_RING_MIN;
	int fd, r;

	while (ring < EVENTS_RING_MAX && ring < capacity * USUAL)
		ring *= 2;
	fd = fd_memfd("reeve-events", HEADER_SIZE + ring);
	if (fd < 0)
		return fd;
	r = map(m, fd, HEADER_SIZE + ring);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	m->header->ring_size = ring;
	m->header->version = VERSION;
	m->header->magic = MAGIC;
	*ret_fd = fd;
	return 0;
}

void events_unmap(struct events_memory *m)
{
	if (m->header)
		munmap(m->header, m->size);
	*m = (struct events_memory){ 0 };
}

static bool state_ok(const struct events_memory *m)
{
	const struct events_state *s = events_state(m);

	if (s->tail > s->head || s->head - s->tail > m->header->ring_size || s->tail % 8 != 0)
		return false;
	for (unsigned i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++) {
		const struct events_subscriber *sub = &s->subscribers[i];

		if (sub->number != 0 &&
		    (sub->n > REEVE_CATEGORIES || sub->at < s->tail || sub->at > s->head))
			return false;
	}
	return true;
}

static const struct record *record_at(const struct events_memory *m, uint64_t offset)
{
	return (const struct record *)(m->ring + offset % m->header->ring_size);
}

/* Each record within the ring's bounds and the next where it ends. */
static bool records_ok(const struct events_memory *m)
{
	const struct events_state *s = events_state(m);
	uint64_t ring = m->header->ring_size;

	for (uint64_t at = s->tail; at != s->head;) {
		const struct record *r = record_at(m, at);
		const struct event_record *e = (const struct event_record *)r;

		if (r->size < sizeof(*r) || r->size % 8 != 0 || r->size > s->head - at ||
		    r->size > ring - at % ring)
			return false;
		if (r->category != NO_CATEGORY &&
		    (r->category >= REEVE_CATEGORIES || r->size < sizeof(*e) ||
		     e->bytes > r->size - sizeof(*e)))
			return false;
		at += r->size;
	}
	return true;
}

int events_map(struct events_memory *m, int fd)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < HEADER_SIZE + EVENTS_RING_MIN ||
	    (uint64_t)st.st_size > HEADER_SIZE + EVENTS_RING_MAX)
		return -EBADMSG;
	r = map(m, fd, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	if (m->header->magic != MAGIC || m->header->version != VERSION ||
	    m->header->ring_size != m->size - HEADER_SIZE || !state_ok(m) || !records_ok(m)) {
		events_unmap(m);
		return -EBADMSG;
	}
	return 0;
}

const struct events_state *events_state(const struct events_memory *m)
{
	return &m->header->states[word_load(&m->header->commit) & 1];
}

struct events_state *events_change(struct events_memory *m)
{
	uint64_t commit = word_load(&m->header->commit);
	struct events_state *next = &m->header->states[(commit + 1) & 1];

	memcpy(next, &m->header->states[commit & 1], sizeof(*next));
	return next;
}

void events_commit(struct events_memory *m)
{
	word_store(&m->header->commit, word_load(&m->header->commit) + 1);
}

/* --- subscribers ----------------------------------------------------------------------------- */

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

	for (unsigned i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++)
		set |= events_set_of(&s->subscribers[i]);
	return set;
}

static bool wants(const struct events_subscriber *s, uint32_t category)
{
	return category < REEVE_CATEGORIES &&
	       (events_set_of(s) & category_bit((enum reeve_category)category)) != 0;
}

int events_subscribe(struct events_memory *m, const struct reeve_observer_config *config,
		     uint32_t capacity, bool block)
{
	struct events_state *s = events_change(m);

	for (unsigned i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++) {
		struct events_subscriber *sub = &s->subscribers[i];

		if (sub->number != 0)
			continue;
		*sub = (struct events_subscriber){ .number = ++s->last_number,
						   .capacity = capacity,
						   .n = config->n,
						   .block = block,
						   .at = s->head };
		for (unsigned c = 0; c < config->n; c++)
			sub->categories[c] = (uint8_t)config->categories[c];
		memcpy(sub->base, s->seq, sizeof(sub->base));
		events_commit(m);
		return (int)i;
	}
	return -ENOSPC;
}

void events_unsubscribe(struct events_memory *m, unsigned place)
{
	struct events_state *s = events_change(m);

	s->subscribers[place] = (struct events_subscriber){ 0 };
	events_commit(m);
}

int events_find(const struct events_memory *m, uint64_t number)
{
	const struct events_state *s = events_state(m);

	for (unsigned i = 0; number != 0 && i < EVENTS_SUBSCRIBERS_MAX; i++)
		if (s->subscribers[i].number == number)
			return (int)i;
	return -ENOENT;
}

/* --- storing --------------------------------------------------------------------------------- */

/* Moves a subscriber's place to its next event, if it stands before another. */
static void skip_others(const struct events_memory *m, const struct events_state *s,
			struct events_subscriber *sub)
{
	while (sub->at != s->head && !wants(sub, record_at(m, sub->at)->category))
		sub->at += record_at(m, sub->at)->size;
}

/* The oldest event that waits for it will not be handed out. */
static void drop_oldest(const struct events_memory *m, const struct events_state *s,
			struct events_subscriber *sub)
{
	const struct record *r;

	skip_others(m, s, sub);
	if (sub->at == s->head)
		return;
	r = record_at(m, sub->at);
	sub->missed[r->category]++;
	sub->waiting--;
	sub->at += r->size;
}

/* Gives the oldest record's bytes up. Nobody's place is before the tail. */
static void drop_tail(const struct events_memory *m, struct events_state *s)
{
	uint64_t end = s->tail + record_at(m, s->tail)->size;

	for (unsigned i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++) {
		struct events_subscriber *sub = &s->subscribers[i];

		if (sub->number == 0 || sub->at >= end)
			continue;
		if (wants(sub, record_at(m, sub->at)->category))
			drop_oldest(m, s, sub);
		else
			sub->at = end;
	}
	s->tail = end;
}

/* Makes room for `n` contiguous bytes behind the head, and returns where they begin. What they
 * overwrite is given up first, in a commit of its own: until then it must stay readable. */
static uint64_t make_room(struct events_memory *m, uint64_t n)
{
	const struct events_state *s = events_state(m);
	uint64_t ring = m->header->ring_size, to_end = ring - s->head % ring;
	uint64_t fill = to_end < n ? to_end : 0;

	if (s->head + fill + n - s->tail > ring) {
		struct events_state *next = events_change(m);

		while (next->tail != next->head && next->head + fill + n - next->tail > ring)
			drop_tail(m, next);
		events_commit(m);
		s = next;
	}
	if (fill > 0)
		*(struct record *)(m->ring + s->head % ring) =
			(struct record){ (uint32_t)fill, NO_CATEGORY };
	return s->head + fill;
}

void events_put(struct events_memory *m, const struct reeve_event *e,
		const struct backend_origin *origin, uint32_t told)
{
	uint64_t size = ROUND_UP8(sizeof(struct event_record) + event_size(e));
	uint64_t at = make_room(m, size);
	struct event_record *r = (struct event_record *)(m->ring + at % m->header->ring_size);
	struct events_state *s = events_change(m);

	s->seq[e->category]++;
	s->told |= told;
	if (origin && origin->ring < BACKEND_RINGS)
		s->after[origin->ring] = origin->next;
	r->record = (struct record){ (uint32_t)size, (uint32_t)e->category };
	r->bytes = event_pack(e, r + 1);
	memcpy(r->seq, s->seq, sizeof(r->seq));
	s->head = at + size;
	for (unsigned i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++) {
		struct events_subscriber *sub = &s->subscribers[i];

		if (!wants(sub, (uint32_t)e->category))
			continue;
		if (sub->waiting >= sub->capacity)
			drop_oldest(m, s, sub);
		sub->waiting++;
		sub->delivered[e->category]++;
	}
	events_commit(m);
}

void events_missed(struct events_memory *m, enum reeve_category category, uint64_t n)
{
	struct events_state *s = events_change(m);

	s->seq[category] += n;
	for (unsigned i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++)
		if (wants(&s->subscribers[i], (uint32_t)category))
			s->subscribers[i].missed[category] += n;
	events_commit(m);
}

/* --- handing out ----------------------------------------------------------------------------- */

static uint64_t seq_of(const struct events_subscriber *sub, const struct event_record *r)
{
	uint64_t seq = 0;

	for (unsigned i = 0; i < sub->n; i++)
		seq += r->seq[sub->categories[i]] - sub->base[sub->categories[i]];
	return seq;
}

bool events_peek(const struct events_memory *m, unsigned place, const void **ret, size_t *ret_size,
		 uint64_t *ret_seq)
{
	const struct events_state *s = events_state(m);
	struct events_subscriber sub = s->subscribers[place];
	const struct event_record *r;

	if (sub.waiting == 0)
		return false;
	skip_others(m, s, &sub);
	if (sub.at == s->head)
		return false;
	r = (const struct event_record *)record_at(m, sub.at);
	*ret = r + 1;
	*ret_size = r->bytes;
	*ret_seq = seq_of(&sub, r);
	return true;
}

void events_next(struct events_memory *m, unsigned place)
{
	struct events_state *s = events_change(m);
	struct events_subscriber *sub = &s->subscribers[place];

	skip_others(m, s, sub);
	if (sub->at == s->head)
		return;
	sub->at += record_at(m, sub->at)->size;
	sub->waiting--;
	events_commit(m);
}

/* Events behind `seq` that are still there, and those of them that were not handed out. */
static uint64_t count_behind(const struct events_memory *m, const struct events_state *s,
			     const struct events_subscriber *sub, uint64_t seq)
{
	uint64_t n = 0;

	for (uint64_t at = s->tail; at != s->head; at += record_at(m, at)->size) {
		const struct event_record *r = (const struct event_record *)record_at(m, at);

		n += wants(sub, r->record.category) && seq_of(sub, r) > seq &&
		     seq_of(sub, r) <= UINT64_MAX / 2; /* not from before the subscription */
	}
	return n;
}

void events_seek(struct events_memory *m, unsigned place, uint64_t seq)
{
	struct events_state *s = events_change(m);
	struct events_subscriber *sub = &s->subscribers[place];
	uint64_t n = count_behind(m, s, sub, seq), skip = n > sub->capacity ? n - sub->capacity : 0;

	sub->waiting = n - skip;
	for (sub->at = s->tail; sub->at != s->head; sub->at += record_at(m, sub->at)->size) {
		const struct event_record *r = (const struct event_record *)record_at(m, sub->at);

		if (!wants(sub, r->record.category) || seq_of(sub, r) > UINT64_MAX / 2 ||
		    seq_of(sub, r) <= seq)
			continue;
		if (skip == 0)
			break;
		skip--;
	}
	events_commit(m);
}
