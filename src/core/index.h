/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - the ring of capture records: when which bytes of which stream were captured.
 *
 * One record per capture step, written together with the stream's head and just as crash-exact: a
 * step's record is there exactly once. Records are numbered from 0; the newest `capacity` are kept.
 */
#pragma once
#include "core/control.h"

struct index_entry {
	uint64_t when;   /* realtime us */
	unsigned stream; /* 0 or 1 */
	uint64_t end;    /* stream offset behind the last byte of the step */
};

struct index_raw {
	uint64_t when_stream; /* stream << 60 | us */
	uint64_t end;
};

struct index {
	struct index_raw *records;
	uint64_t capacity; /* records; a power of two */
	struct word *head; /* records ever written */
};

void index_init(struct index *x, void *memory, uint64_t size, struct word *head);

/* Appends a record unless the newest one already stands for the same step (stream and end). */
void index_commit(struct index *x, unsigned stream, uint64_t end, uint64_t when);

/* The step that the newest record stands for went on up to there. */
void index_extend(struct index *x, unsigned stream, uint64_t end, uint64_t when);

static inline uint64_t index_tail(const struct index *x)
{
	uint64_t head = word_load(x->head);

	return head > x->capacity ? head - x->capacity : 0;
}

/* Record number `n`, tail <= n < head. */
struct index_entry index_get(const struct index *x, uint64_t n);

/* The first record of the stream whose end is beyond `offset`: the step that brought that byte.
 * -ENOENT when there is none; the record may be younger than the byte when older ones are gone. */
int index_find(const struct index *x, unsigned stream, uint64_t offset, uint64_t *ret);

/* The lowest offset of the stream captured at `when` (us) or later, the stream's `head` when there
 * is none; for bytes older than the index this is the oldest offset that the index knows. */
uint64_t index_since(const struct index *x, unsigned stream, uint64_t when, uint64_t head);
