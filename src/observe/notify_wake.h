/* SPDX-License-Identifier: Apache-2.0 */
/* notify_wake.h - how those who wait at a listener are woken: on which processor, and whether they
 * are let run there at once. Most of what a call costs is two sleeps and two wake-ups. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct notify_wake {
	unsigned answered, crowded;
	bool sync; /* the caller is woken on this CPU: good for one, bad for many at once */
	uint32_t last, before;   /* whose calls were answered last */
	uint64_t rest_until;     /* monotonic us; until then we do not take turns with a caller */
	unsigned rest_us, turns; /* the next rest; turns since the last one */
};

/* Of a listener that is new. */
void notify_wake_init(struct notify_wake *w, int listener);

/* This thread's call is about to be answered. */
void notify_wake_caller(struct notify_wake *w, uint32_t tid);

/* It was; `at_once`: it waited already when the one before was. */
void notify_wake_answered(struct notify_wake *w, int listener, bool at_once);

/* Lets the last caller run, where that is of use. False: we did not. */
bool notify_wake_turn(struct notify_wake *w);
