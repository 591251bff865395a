/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - how often something is looked at of which no event tells: so seldom that looking takes
 * no more than 0.3 percent of a processor, however much there is to look at. */
#pragma once
#include <stdint.h>

struct pace {
	uint64_t cost_us;    /* of one look: processor time, the newest counting for a quarter */
	uint64_t started_us; /* of the look under way */
};

void pace_begin(struct pace *p);
/* `elsewhere_us`: what it cost another process of ours. */
void pace_end(struct pace *p, uint64_t elsewhere_us);

/* The pause in ms between two looks at one thing of `n`, within `min` and `max`. */
uint64_t pace_pause(const struct pace *p, unsigned n, uint64_t min, uint64_t max);

/* A little longer than `pause`, so that of many looks with such pauses several fall together: to
 * wake up costs as much as to look. `now`: ms of the clock of all of them. */
uint64_t pace_round(uint64_t now, uint64_t pause);
