/* SPDX-License-Identifier: Apache-2.0 */
/* housekeeping.c - which ended sessions are kept, and for how long. */
#include "base/clock.h"
#include "engine/attachment.h"

#define SOON_MS  1000U
#define LATER_MS (60ULL * 60 * 1000)

static bool is_over(const struct session *s)
{
	return session_ended(s) && !session_tree_alive(s) && !s->pending_spawn;
}

static uint64_t age(const struct session *s, uint64_t now)
{
	uint64_t ended = word_load(&s->words->ended_at);

	return now > ended ? now - ended : 0;
}

/* How long a session that is over is kept. */
static uint64_t keep_of(const struct session *s, bool too_many)
{
	const struct settings *settings = &s->engine->settings;
	uint64_t ttl = word_load(&s->words->ttl);

	if (ttl > 0)
		return ttl - 1;
	return too_many ? settings->keep_at_least_ms
			: MAX(settings->keep_for_ms, settings->keep_at_least_ms);
}

static void on_timer(uv_timer_t *timer)
{
	struct engine *e = timer->data;
	uint64_t now = clock_realtime_ms(), next = LATER_MS;
	unsigned over = 0;
	struct session *s, *newer;

	for (s = e->first; s; s = s->newer)
		over += is_over(s);
	/* Oldest first. */
	for (s = e->first; s; s = newer) {
		uint64_t keep, old;

		newer = s->newer;
		if (!is_over(s))
			continue;
		keep = keep_of(s, over > e->settings.keep_count);
		old = age(s, now);
		if (old < keep) {
			next = MIN(next, keep - old);
		} else if (s->controller || attachment_is_awaited(s)) {
			next = SOON_MS;
		} else {
			session_remove(s);
			over--;
		}
	}
	if (e->first)
		uv_timer_start(timer, on_timer, next < SOON_MS ? SOON_MS : next, 0);
}

void housekeeping_init(struct engine *e)
{
	uv_timer_init(&e->loop, &e->housekeeping);
	e->housekeeping.data = e;
}

void housekeeping_soon(struct engine *e)
{
	if (!uv_is_active((uv_handle_t *)&e->housekeeping) ||
	    uv_timer_get_due_in(&e->housekeeping) > SOON_MS)
		uv_timer_start(&e->housekeeping, on_timer, SOON_MS, 0);
}
