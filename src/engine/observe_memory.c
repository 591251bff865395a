/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/observe_memory.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC        0x72656576652d6576ULL /* "reeve-ev" */
#define VERSION      4U
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
	*m = (struct events_memory){ .header = p, .size = size };
	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		m->rings[i] = (char *)p + HEADER_SIZE + i * (size - HEADER_SIZE) / EVENTS_RINGS;
	return 0;
}

int events_make(struct events_memory *m, uint64_t capacity, int *ret_fd)
{
	uint64_t ring = EVENTS_RING_MIN;
	int fd, r;

	while (ring < EVENTS_RING_MAX && ring < capacity * USUAL)
		ring *= 2;
	fd = fd_memfd("reeve-events", HEADER_SIZE + EVENTS_RINGS * ring);
	if (fd < 0)
		return fd;
	r = map(m, fd, HEADER_SIZE + EVENTS_RINGS * ring);
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

static unsigned ring_of(uint32_t category)
{
	return category == REEVE_FILE || category == REEVE_NETWORK;
}

static bool subscriber_ok(const struct events_state *s, const struct events_subscriber *sub)
{
	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		if (sub->at[i] < s->tail[i] || sub->at[i] > s->head[i])
			return false;
	return sub->n <= REEVE_CATEGORIES;
}

static bool state_ok(const struct events_memory *m)
{
	const struct events_state *s = events_state(m);

	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		if (s->tail[i] > s->head[i] || s->head[i] - s->tail[i] > m->header->ring_size ||
		    s->tail[i] % 8 != 0)
			return false;
	if (s->places > EVENTS_SUBSCRIBERS_MAX)
		return false;
	for (unsigned i = 0; i < s->places; i++)
		if (s->subscribers[i].number != 0 && !subscriber_ok(s, &s->subscribers[i]))
			return false;
	return true;
}

static const struct record *record_at(const struct events_memory *m, unsigned ring, uint64_t offset)
{
	return (const struct record *)(m->rings[ring] + offset % m->header->ring_size);
}

/* Each record within the ring's bounds and the next where it ends. */
static bool records_ok(const struct events_memory *m, unsigned ring)
{
	const struct events_state *s = events_state(m);
	uint64_t size = m->header->ring_size;

	for (uint64_t at = s->tail[ring]; at != s->head[ring];) {
		const struct record *r = record_at(m, ring, at);
		const struct event_record *e = (const struct event_record *)r;

		if (r->size < sizeof(*r) || r->size % 8 != 0 || r->size > s->head[ring] - at ||
		    r->size > size - at % size)
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
	if ((uint64_t)st.st_size < HEADER_SIZE + EVENTS_RINGS * EVENTS_RING_MIN ||
	    (uint64_t)st.st_size > HEADER_SIZE + EVENTS_RINGS * EVENTS_RING_MAX)
		return -EBADMSG;
	r = map(m, fd, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	if (m->header->magic != MAGIC || m->header->version != VERSION ||
	    m->header->ring_size != (m->size - HEADER_SIZE) / EVENTS_RINGS || !state_ok(m) ||
	    !records_ok(m, 0) || !records_ok(m, 1)) {
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
	const struct events_state *now = &m->header->states[commit & 1];
	struct events_state *next = &m->header->states[(commit + 1) & 1];

	memcpy(next, now,
	       offsetof(struct events_state, subscribers) +
		       now->places * sizeof(now->subscribers[0]));
	return next;
}

void events_commit(struct events_memory *m)
{
	word_store(&m->header->commit, word_load(&m->header->commit) + 1);
}

/* --- subscribers ----------------------------------------------------------------------------- */

static bool wants(const struct events_subscriber *s, uint32_t category)
{
	return category < REEVE_CATEGORIES &&
	       (events_set_of(s) & category_bit((enum reeve_category)category)) != 0;
}

int events_subscribe(struct events_memory *m, const struct reeve_observer_config *config,
		     uint32_t capacity, bool block)
{
	struct events_state *s = events_change(m);
	struct events_subscriber *sub;
	unsigned i = 0;

	while (i < s->places && s->subscribers[i].number != 0)
		i++;
	if (i == EVENTS_SUBSCRIBERS_MAX)
		return -ENOSPC;
	s->places = MAX(s->places, (uint64_t)i + 1);
	sub = &s->subscribers[i];
	*sub = (struct events_subscriber){
		.number = ++s->last_number,
		.capacity = capacity,
		.n = config->n,
		.block = block,
	};
	memcpy(sub->at, s->head, sizeof(sub->at));
	for (unsigned c = 0; c < config->n; c++)
		sub->categories[c] = (uint8_t)config->categories[c];
	memcpy(sub->base, s->seq, sizeof(sub->base));
	events_commit(m);
	return (int)i;
}

void events_unsubscribe(struct events_memory *m, unsigned place)
{
	struct events_state *s = events_change(m);

	s->subscribers[place] = (struct events_subscriber){ 0 };
	events_commit(m);
}

/* --- storing --------------------------------------------------------------------------------- */

/* Moves a subscriber's place to its next event, if it stands before another. */
static void skip_others(const struct events_memory *m, const struct events_state *s,
			struct events_subscriber *sub, unsigned ring)
{
	while (sub->at[ring] != s->head[ring] &&
	       !wants(sub, record_at(m, ring, sub->at[ring])->category))
		sub->at[ring] += record_at(m, ring, sub->at[ring])->size;
}

/* The oldest event that waits for it there will not be handed out. */
static void drop_oldest(const struct events_memory *m, const struct events_state *s,
			struct events_subscriber *sub, unsigned ring)
{
	const struct record *r;

	skip_others(m, s, sub, ring);
	if (sub->at[ring] == s->head[ring])
		return;
	r = record_at(m, ring, sub->at[ring]);
	sub->missed[r->category]++;
	sub->waiting[ring]--;
	sub->at[ring] += r->size;
}

/* Gives the oldest record's bytes up. Nobody's place is before the tail. */
static void drop_tail(const struct events_memory *m, struct events_state *s, unsigned ring)
{
	uint64_t end = s->tail[ring] + record_at(m, ring, s->tail[ring])->size;

	for (unsigned i = 0; i < s->places; i++) {
		struct events_subscriber *sub = &s->subscribers[i];

		if (sub->number == 0 || sub->at[ring] >= end)
			continue;
		if (wants(sub, record_at(m, ring, sub->at[ring])->category))
			drop_oldest(m, s, sub, ring);
		else
			sub->at[ring] = end;
	}
	s->tail[ring] = end;
}

/* Makes room for `n` contiguous bytes behind the head, and returns where they begin. What they
 * overwrite is given up first, in a commit of its own: until then it must stay readable. */
static uint64_t make_room(struct events_memory *m, unsigned ring, uint64_t n)
{
	const struct events_state *s = events_state(m);
	uint64_t size = m->header->ring_size, head = s->head[ring], to_end = size - head % size;
	uint64_t fill = to_end < n ? to_end : 0;

	if (head + fill + n - s->tail[ring] > size) {
		struct events_state *next = events_change(m);

		while (next->tail[ring] != head && head + fill + n - next->tail[ring] > size)
			drop_tail(m, next, ring);
		events_commit(m);
	}
	if (fill > 0)
		*(struct record *)(m->rings[ring] + head % size) =
			(struct record){ (uint32_t)fill, NO_CATEGORY };
	return head + fill;
}

void events_put(struct events_memory *m, const struct reeve_event *e,
		const struct backend_origin *origin, uint32_t told)
{
	uint64_t size = ROUND_UP8(sizeof(struct event_record) + event_size(e));
	unsigned ring = ring_of((uint32_t)e->category);
	uint64_t at = make_room(m, ring, size);
	struct event_record *r =
		(struct event_record *)(m->rings[ring] + at % m->header->ring_size);
	struct events_state *s = events_change(m);

	s->seq[e->category]++;
	s->told |= told;
	if (origin && origin->ring < BACKEND_RINGS)
		s->after[origin->ring] = origin->next;
	r->record = (struct record){ (uint32_t)size, (uint32_t)e->category };
	r->bytes = event_pack(e, r + 1);
	memcpy(r->seq, s->seq, sizeof(r->seq));
	s->head[ring] = at + size;
	for (unsigned i = 0; i < s->places; i++) {
		struct events_subscriber *sub = &s->subscribers[i];

		if (!wants(sub, (uint32_t)e->category))
			continue;
		if (sub->waiting[ring] >= sub->capacity && !sub->block)
			drop_oldest(m, s, sub, ring);
		sub->waiting[ring]++;
		sub->delivered[e->category]++;
	}
	events_commit(m);
}

void events_missed(struct events_memory *m, enum reeve_category category, uint64_t n)
{
	struct events_state *s = events_change(m);

	s->seq[category] += n;
	for (unsigned i = 0; i < s->places; i++)
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

/* The next of a subscriber's events there, to which its place moves; NULL: none. */
static const struct event_record *first_in(const struct events_memory *m,
					   const struct events_state *s,
					   struct events_subscriber *sub, unsigned ring)
{
	if (sub->waiting[ring] == 0)
		return NULL;
	skip_others(m, s, sub, ring);
	if (sub->at[ring] == s->head[ring])
		return NULL;
	return (const struct event_record *)record_at(m, ring, sub->at[ring]);
}

/* The oldest of all that wait, and where it stands. */
static const struct event_record *oldest(const struct events_memory *m,
					 const struct events_state *s,
					 struct events_subscriber *sub, unsigned *ret_ring)
{
	const struct event_record *best = NULL;

	for (unsigned i = 0; i < EVENTS_RINGS; i++) {
		const struct event_record *r = first_in(m, s, sub, i);

		if (!r || (best && seq_of(sub, best) < seq_of(sub, r)))
			continue;
		best = r;
		*ret_ring = i;
	}
	return best;
}

bool events_peek(const struct events_memory *m, unsigned place, const void **ret, size_t *ret_size,
		 uint64_t *ret_seq)
{
	const struct events_state *s = events_state(m);
	struct events_subscriber sub = s->subscribers[place];
	unsigned ring;
	const struct event_record *r = oldest(m, s, &sub, &ring);

	if (!r)
		return false;
	*ret = r + 1;
	*ret_size = r->bytes;
	*ret_seq = seq_of(&sub, r);
	return true;
}

void events_next(struct events_memory *m, unsigned place)
{
	struct events_state *s = events_change(m);
	struct events_subscriber *sub = &s->subscribers[place];
	unsigned ring;
	const struct event_record *r = oldest(m, s, sub, &ring);

	if (!r)
		return;
	sub->at[ring] += r->record.size;
	sub->waiting[ring]--;
	events_commit(m);
}

/* Whether that record is an event of a subscriber's behind `seq`, and not from before it was. */
static bool is_behind(const struct events_subscriber *sub, const struct event_record *r,
		      uint64_t seq)
{
	return wants(sub, r->record.category) && seq_of(sub, r) > seq &&
	       seq_of(sub, r) <= UINT64_MAX / 2;
}

static void seek_in(const struct events_memory *m, const struct events_state *s,
		    struct events_subscriber *sub, unsigned ring, uint64_t seq)
{
	uint64_t n = 0, skip, at;

	for (at = s->tail[ring]; at != s->head[ring]; at += record_at(m, ring, at)->size)
		n += is_behind(sub, (const struct event_record *)record_at(m, ring, at), seq);
	skip = n > sub->capacity && !sub->block ? n - sub->capacity : 0;
	sub->waiting[ring] = n - skip;
	for (at = s->tail[ring]; at != s->head[ring]; at += record_at(m, ring, at)->size)
		if (is_behind(sub, (const struct event_record *)record_at(m, ring, at), seq) &&
		    skip-- == 0)
			break;
	sub->at[ring] = at;
}

void events_seek(struct events_memory *m, unsigned place, uint64_t seq)
{
	struct events_state *s = events_change(m);

	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		seek_in(m, s, &s->subscribers[place], i, seq);
	events_commit(m);
}

void events_look(const struct events_memory *m, struct events_subscriber *own, uint64_t seq)
{
	own->block = 1; /* as far back as events are */
	for (unsigned i = 0; i < EVENTS_RINGS; i++) {
		seek_in(m, events_state(m), own, i, seq);
		own->waiting[i] = UINT64_MAX;
	}
}

bool events_look_next(const struct events_memory *m, struct events_subscriber *own,
		      const void **ret, size_t *ret_size, uint64_t *ret_seq)
{
	const struct events_state *s = events_state(m);
	const struct event_record *r;
	unsigned ring;

	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		own->at[i] = MAX(own->at[i], s->tail[i]);
	r = oldest(m, s, own, &ring);
	if (!r)
		return false;
	*ret = r + 1;
	*ret_size = r->bytes;
	*ret_seq = seq_of(own, r);
	own->at[ring] += r->record.size;
	return true;
}

uint64_t events_used(const struct events_memory *m)
{
	const struct events_state *s = events_state(m);
	uint64_t n = 0;

	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		n += s->head[i] - s->tail[i];
	return n;
}

int events_give_up(struct events_memory *m, int fd)
{
	struct events_state *s = events_change(m);

	for (unsigned i = 0; i < EVENTS_RINGS; i++)
		while (s->tail[i] != s->head[i])
			drop_tail(m, s, i);
	events_commit(m);
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)HEADER_SIZE,
			 (off_t)(m->size - HEADER_SIZE)) < 0
		       ? -errno
		       : 0;
}
