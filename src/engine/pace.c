/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pace.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define SHARE       333U /* one part in so many of the time */
#define ROUNDS      16U
#define GRID_MAX_MS 512U

void pace_begin(struct pace *p)
{
	p->started_us = clock_processor_us();
}

void pace_end(struct pace *p, uint64_t elsewhere_us)
{
	uint64_t cost = clock_processor_us() - p->started_us + elsewhere_us;

	p->cost_us = p->cost_us == 0 ? cost : (3 * p->cost_us + cost) / 4;
}

uint64_t pace_round(uint64_t now, uint64_t pause)
{
	uint64_t grid = 1;

	while (2 * grid * ROUNDS <= pause && grid < GRID_MAX_MS)
		grid *= 2;
	return (now + pause + grid - 1) / grid * grid - now;
}

uint64_t pace_pause(const struct pace *p, unsigned n, uint64_t min, uint64_t max)
{
	uint64_t pause = MAX(n * p->cost_us * SHARE / 1000, min);

	return MIN(pause, max);
}
