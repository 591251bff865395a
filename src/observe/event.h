/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - events as bytes: for sinks, and for memory that outlives the engine.
 *
 * A packed event is its fixed members followed by the texts it has. Texts longer than
 * EVENT_TEXT_MAX are cut when packed, and the event then has REEVE_HAS_CUT. The form is for one
 * machine and one version (EVENT_VERSION stands in it). */
#pragma once
#include "reeve/observer.h"

#define EVENT_VERSION  1U
#define EVENT_TEXT_MAX 4096U /* bytes of one text, its NUL included */
#define EVENT_SIZE_MAX 36864U

/* An event of `kind` that happened now. */
void event_init(struct reeve_event *e, enum reeve_category category, enum reeve_kind kind,
		int32_t pid);

/* The bytes that event_pack() will need. */
size_t event_size(const struct reeve_event *e);

/* Packs into `buffer`, which has room for event_size() bytes. Returns how many were written. */
size_t event_pack(const struct reeve_event *e, void *buffer);

/* The event in `size` bytes. `*ret` is one block with its texts, for reeve_event_free. -EBADMSG for
 * bytes that are none, -ENOMEM. */
int event_unpack(const void *bytes, size_t size, struct reeve_event **ret);

/* The category of a packed event. */
enum reeve_category event_packed_category(const void *bytes);

/* A copy in one block. */
int event_copy(const struct reeve_event *e, struct reeve_event **ret);

static inline unsigned category_bit(enum reeve_category category)
{
	return 1U << (unsigned)category;
}
