/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - from one emitter to any number of subscribers (struct reeve_subscriber), each with a
 * sink of its own. Thread-safe. Counted: the emitter and each subscriber hold it. */
#pragma once
#include "reeve/observer.h"

struct channel;

/* -ENOMEM, or what the threads library says. */
int channel_new(struct channel **ret);

/* No event comes any more; the emitter lets go of it. Returns NULL; NULL is allowed. */
struct channel *channel_close(struct channel *c);

/* See reeve_observer_subscribe(). */
int channel_subscribe(struct channel *c, size_t capacity, struct reeve_subscriber **ret);

/* To all subscribers there are now. Never waits for one, never fails. */
void channel_emit(struct channel *c, const struct reeve_event *e);
void channel_missed(struct channel *c, enum reeve_category category, uint64_t n);
