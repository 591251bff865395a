/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pace.h"
#include "base/cleanup.h"
#include <time.h>

#define SHARE 250U /* one part in so many of the time */

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void pace_begin(struct pace *p)
{
	p->started_us = cpu_us();
}

void pace_end(struct pace *p)
{
	uint64_t cost = cpu_us() - p->started_us;

	p->cost_us = p->cost_us == 0 ? cost : (3 * p->cost_us + cost) / 4;
}

uint64_t pace_pause(const struct pace *p, unsigned n, uint64_t min, uint64_t max)
{
	uint64_t pause = MAX(n * p->cost_us * SHARE / 1000, min);

	return MIN(pause, max);
}
