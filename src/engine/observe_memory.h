/* SPDX-License-Identifier: Apache-2.0 */
/* observe_memory.h - what must outlive the engine of an observed session: its events and who wants
 * them.
 *
 * One memfd a session, made with its first subscription and held by the keeper: a header and two
 * rings of events, so that a flood of file events does not push out what started and what ended.
 * All that changes with an event (the ring's ends, the numbers, where the backend stood, each
 * subscription's place and counts) stands twice, and one store says which copy is true. So a
 * successor finds each event either stored and counted, or neither.
 *
 * A subscription is a place in each ring and a number of events that may wait there: its sink. When
 * one more comes, the oldest that waits there is dropped, and counted as missed. One that blocks
 * drops nothing while the memory lasts: when its sink is full, who feeds it is to pause. */
#pragma once
#include "core/control.h"
#include "core/pending.h"
#include "observe/observation.h"

#define EVENTS_SUBSCRIBERS_MAX 16U
#define EVENTS_RING_MIN        (256ULL << 10)
#define EVENTS_RING_MAX        (64ULL << 20)

/* The rings: lifecycle and process; file and network. */
#define EVENTS_RINGS 2U

enum events_told {
	TOLD_STARTED = 1 << 0,
	TOLD_EXITED = 1 << 1,
};

struct events_subscriber {
	uint64_t number;   /* 0: a free place; never used again in a session */
	uint32_t capacity; /* events that may wait, of each ring */
	uint32_t n;        /* categories, in the order in which they were named */
	uint8_t categories[REEVE_CATEGORIES];
	uint8_t block;
	uint8_t connected;               /* a consumer was there once */
	uint64_t at[EVENTS_RINGS];       /* offset of the next record to hand out */
	uint64_t waiting[EVENTS_RINGS];  /* events of its categories from there on */
	uint64_t base[REEVE_CATEGORIES]; /* the categories' numbers when it was made */
	uint64_t delivered[REEVE_CATEGORIES], missed[REEVE_CATEGORIES];
};

struct events_state {
	/* offsets of the oldest record and behind the newest */
	uint64_t tail[EVENTS_RINGS], head[EVENTS_RINGS];
	uint64_t seq[REEVE_CATEGORIES];
	uint64_t after[BACKEND_RINGS];
	uint64_t last_number; /* of a subscriber */
	uint32_t told;        /* set of enum events_told */
	uint32_t running; /* set of category_bit(): observed, with the choice that stands beside */
	uint32_t over;    /* 1: no event comes any more */
	uint32_t detail;
	uint64_t passed; /* word `passed` of the slot when that was last said to be a gap */
	/* Of these, so many places were ever used: what lies behind has no meaning, and is not
	 * copied with each event. */
	uint64_t places;
	struct events_subscriber subscribers[EVENTS_SUBSCRIBERS_MAX];
};

/* Of a category; written before its bit in `running`. */
struct events_choice {
	uint32_t support;
	char backend[32]; /* "" for none */
	char reason[REASON_MAX];
};

struct events_header {
	uint64_t magic, version;
	uint64_t ring_size; /* of each of them */
	struct word commit; /* E: commits so far; the lowest bit says which state is true */
	_Alignas(8) unsigned char pending[BACKEND_PENDING]; /* the keeper knows its place */
	struct events_choice choices[REEVE_CATEGORIES];
	struct events_state states[2];
};

_Static_assert(offsetof(struct events_header, pending) == EVENTS_PENDING_AT, "pending.h");

struct events_memory {
	struct events_header *header;
	char *rings[EVENTS_RINGS];
	uint64_t size; /* of the mapping */
};

/* Makes it, with room for `capacity` events of usual size, or more. `*ret_fd` is the caller's.
 * -EMFILE, -ENOMEM. */
int events_make(struct events_memory *m, uint64_t capacity, int *ret_fd);

/* Maps what an engine before has made. -EBADMSG when it cannot be trusted. */
int events_map(struct events_memory *m, int fd);

/* Unmaps it, if it is mapped. */
void events_unmap(struct events_memory *m);

/* What is true now; valid until the next commit. */
const struct events_state *events_state(const struct events_memory *m);

/* A copy to change, true once events_commit() has returned. */
struct events_state *events_change(struct events_memory *m);
void events_commit(struct events_memory *m);

/* Stores an event, numbers and counts it. `origin` as a backend's sink gets it; `told` is added. */
void events_put(struct events_memory *m, const struct reeve_event *e,
		const struct backend_origin *origin, uint32_t told);

/* `n` events of a category happened and will not come. */
void events_missed(struct events_memory *m, enum reeve_category category, uint64_t n);

/* Adds a subscriber of `n` categories from now on; returns its place, -ENOSPC. */
int events_subscribe(struct events_memory *m, const struct reeve_observer_config *config,
		     uint32_t capacity, bool block);
void events_unsubscribe(struct events_memory *m, unsigned place);
/* The place of a number; -ENOENT. */
int events_find(const struct events_memory *m, uint64_t number);

/* The categories of a subscriber, and of all, as sets. */
unsigned events_set_of(const struct events_subscriber *s);
unsigned events_wanted(const struct events_memory *m);

/* How many events wait for a subscriber. */
uint64_t events_waiting(const struct events_subscriber *s);

/* Whether one that blocks has no room any more; once that is so, whether it has not yet taken half
 * of what waits. */
bool events_full(const struct events_memory *m, bool was_full);

/* The oldest event that waits for a subscriber; false when there is none. `*ret_seq` counts the
 * subscription's events from 1 on, those that were missed too. The bytes are valid until the next
 * event is stored. */
bool events_peek(const struct events_memory *m, unsigned place, const void **ret, size_t *ret_size,
		 uint64_t *ret_seq);
/* It was handed out. */
void events_next(struct events_memory *m, unsigned place);

/* Goes to the first event behind number `seq`, back too, as far as events are still there and not
 * more than the capacity. What was handed out before and is gone by now shows as a gap. */
void events_seek(struct events_memory *m, unsigned place, uint64_t seq);

/* Reading without being the reader: `own` is a copy of a subscriber that only the caller moves.
 * events_look() begins behind number `seq`; events_look_next() gives the oldest that is still
 * there, and moves on. */
void events_look(const struct events_memory *m, struct events_subscriber *own, uint64_t seq);
bool events_look_next(const struct events_memory *m, struct events_subscriber *own,
		      const void **ret, size_t *ret_size, uint64_t *ret_seq);

/* Bytes of events that are kept. events_give_up() keeps none: what waits is counted as missed.
 * `fd`: of the memory, which gives the bytes back to the system. */
uint64_t events_used(const struct events_memory *m);
int events_give_up(struct events_memory *m, int fd);
