/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/flood.h"
#include "base/clock.h"

#define FLOOD_MIN   4096U  /* bytes of each of its steps, */
#define QUICK_US    100U   /* one so soon behind the other, */
#define QUICK_STEPS 16U    /* so many of them */
#define AWAKE_US    50U    /* without a byte, until the loop may sleep again */
#define MISSES_MAX  8U     /* each doubles what makes a flood */
#define LARGE_RUNS  8U     /* in a row show large writes */
#define LARGE_STEPS 64U    /* of a writer of large blocks, until its reads are tried again; twice */
#define LARGE_MAX   4096U  /* as many each time, up to that */
#define GATHER_US   3U     /* twelve writes of 4 KiB */
#define GATHER_MAX  49152U /* of more there is not much to gather: a pipe holds 64 KiB */

static void on_idle(uv_idle_t *idle)
{
	struct flood *f = idle->data;

	if (clock_monotonic_us() - f->at < AWAKE_US)
		return;
	uv_idle_stop(idle);
	f->quick = 0;
	if (f->misses < MISSES_MAX)
		f->misses++;
}

void flood_init(struct flood *f, uv_loop_t *loop)
{
	uv_idle_init(loop, &f->idle);
	f->idle.data = f;
}

bool flood_is_awake(const struct flood *f)
{
	return uv_is_active((const uv_handle_t *)&f->idle);
}

void flood_gather(const struct flood *f, const struct stream *stream)
{
	if (!flood_is_awake(f) || f->stream != stream || !f->partial)
		return;
	while (clock_monotonic_us() - f->at < GATHER_US)
		;
}

/* Large writes fill the pipe; in a splice behind the other no more is left than their ends. */
static void take_note_of_large(struct flood *f, bool partial)
{
	if (f->quick == 0 || (f->large_left > 0 && partial && f->partial))
		f->large_left = f->large_next = 0;
	else if (f->large_left > 0)
		f->large_left--;
	f->large_runs = f->large ? f->large_runs + 1 : 0;
	f->large = false;
	if (f->large_runs < LARGE_RUNS)
		return;
	f->large_runs = 0;
	f->large_left = f->large_next > 0 ? f->large_next : LARGE_STEPS;
	f->large_next = f->large_left < LARGE_MAX ? 2 * f->large_left : LARGE_MAX;
}

void flood_step(struct flood *f, const struct stream *stream, size_t n, bool alone, uint64_t begin,
		uint64_t now)
{
	if (f->stream != stream)
		f->misses = 0;
	if (f->stream != stream || n < FLOOD_MIN || begin - f->at > QUICK_US || !alone)
		f->quick = 0;
	else if (f->quick < QUICK_STEPS << MISSES_MAX)
		f->quick++;
	if (flood_is_awake(f))
		f->misses = 0;
	f->stream = stream;
	f->at = now;
	take_note_of_large(f, n < GATHER_MAX);
	f->partial = n < GATHER_MAX;
	if (f->quick >= QUICK_STEPS << f->misses) {
		if (!flood_is_awake(f))
			uv_idle_start(&f->idle, on_idle);
	} else if (flood_is_awake(f)) {
		uv_idle_stop(&f->idle);
	}
}

enum flood_way flood_way(const struct flood *f, const struct stream *stream)
{
	if (f->stream != stream || f->quick < QUICK_STEPS)
		return FLOOD_NOT;
	return f->large_left > 0 ? FLOOD_LARGE : FLOOD_SMALL;
}
