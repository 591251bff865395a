/* SPDX-License-Identifier: Apache-2.0 */
/* flood.h - how the loop keeps up with a command that writes into a pipe without a pause.
 *
 * To sleep until the next bytes are there, and to be woken for them, takes longer than to take
 * them: the writer pays for the wake-up, and its pipe is full before the engine runs. So behind a
 * step of a flood the loop does not sleep for a moment; everybody else is served as ever. And since
 * each step holds the writer up, small ones are put off by some microseconds, to take more. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct stream;

struct flood {
	uv_idle_t idle;              /* active: the loop does not sleep */
	const struct stream *stream; /* the last that gave something; only compared */
	uint64_t at;                 /* monotonic us: the end of that step */
	unsigned quick;              /* steps of it so far, large and close behind each other */
	unsigned misses;             /* times in a row that the loop was kept awake for nothing */
	bool partial;                /* the last step did not empty a full pipe */
	bool large;                  /* the last step seems to have met large writes */
	unsigned large_runs;         /* so many in a row did */
	unsigned large_left;         /* steps until it is tried again whether they still are */
	unsigned large_next;         /* that many the next time */
};

void flood_init(struct flood *f, uv_loop_t *loop);

/* The loop does not sleep. */
bool flood_is_awake(const struct flood *f);

/* Before a step: lets it gather. */
void flood_gather(const struct flood *f, const struct stream *stream);

enum flood_way {
	FLOOD_NOT,
	FLOOD_SMALL, /* of small writes, as far as is known */
	FLOOD_LARGE,
};
enum flood_way flood_way(const struct flood *f, const struct stream *stream);

/* Behind a step, which took `n` bytes from `begin` to `now`: monotonic us. `alone`: no other
 * process waits for them, and for a processor to run on. */
void flood_step(struct flood *f, const struct stream *stream, size_t n, bool alone, uint64_t begin,
		uint64_t now);
