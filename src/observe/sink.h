/* SPDX-License-Identifier: Apache-2.0 */
/* sink.h - a bounded queue of events between an emitter and one reader. Full, it drops the oldest
 * for the newest, and counts it. Not thread-safe. */
#pragma once
#include "reeve/observer.h"

#define SINK_BYTES_MAX (64U << 20) /* of all events in one sink */

struct sink {
	void **places;
	uint32_t *sizes;
	size_t capacity, first, n;
	size_t bytes;
	struct reeve_subscriber_counts counts;
};

/* -ENOMEM; -EINVAL for a capacity of 0 or above REEVE_SUBSCRIBER_CAPACITY_MAX. */
int sink_init(struct sink *s, size_t capacity);
void sink_done(struct sink *s);

/* Accepts the event. Without memory for it, it counts as missed. */
void sink_put(struct sink *s, const struct reeve_event *e);

/* `n` events of a category were lost before they came here. */
void sink_missed(struct sink *s, enum reeve_category category, uint64_t n);

/* The oldest; -EAGAIN when there is none; -ENOMEM, and it stays. */
int sink_take(struct sink *s, struct reeve_event **ret);
