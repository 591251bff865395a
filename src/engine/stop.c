/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c - asks the keeper to end trees: on request, after a time, or because the command ended. */
#include "base/clock.h"
#include "core/stopplan.h"
#include "engine/session.h"
#include <string.h>

void session_plan(const struct session *s, struct stop_plan *ret)
{
	if (s->plan)
		*ret = *s->plan;
	else /* an interactive shell ignores SIGTERM; a terminal that goes away tells it to end */
		parse_stop_plan(session_is_pty(s) ? "HUP 1s TERM 4s KILL" : "TERM 5s KILL", ret);
}

/* How long the plan takes that was requested last. */
static uint64_t requested_length(struct control_stop *stop)
{
	struct control_plan *plan = control_plan(stop, word_load(&stop->requested));
	uint64_t total = 0, n = word_load(&plan->n_steps);

	for (uint64_t i = 0; i < n && i < STOP_STEPS_MAX; i++)
		total += stop_step_unpack(word_load(&plan->steps[i])).wait_ms;
	return total;
}

static uint64_t length_of(const struct stop_plan *plan)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < plan->n_steps; i++)
		total += plan->steps[i].wait_ms;
	return total;
}

/* Of two requests the first one's cause counts, unless that was only about leftovers. */
static enum cause cause_of(struct control_stop *stop, bool under_way, enum cause cause)
{
	enum cause before =
		(enum cause)word_load(&control_plan(stop, word_load(&stop->requested))->cause);

	return under_way && before != CAUSE_LEFTOVERS ? before : cause;
}

void session_stop(struct session *s, const struct stop_plan *plan, enum cause cause)
{
	struct control_stop *stop = &s->words->stop;
	uint64_t requested = word_load(&stop->requested);
	bool under_way = requested > word_load(&stop->finished);
	struct control_plan *next = control_plan(stop, requested + 1);

	if (!session_tree_alive(s) && !s->pending_spawn)
		return;
	/* A second, impatient request counts; a repeated one changes nothing. Nor does one while
	 * the keeper has yet to see the last two: it may be looking at the place that this one
	 * takes. */
	if (under_way && (length_of(plan) >= requested_length(stop) ||
			  requested >= word_load(&stop->begun) + STOP_PLANS - 2))
		return;
	for (unsigned i = 0; i < plan->n_steps; i++)
		word_store(&next->steps[i], stop_step_pack(&plan->steps[i]));
	word_store(&next->n_steps, plan->n_steps);
	word_store(&next->cause, cause_of(stop, under_way, cause));
	word_store(&stop->requested, requested + 1);
	link_tell(s->engine, LINK_STOP, s->slot, 0);
	session_notify(s);
}

void session_note_reason(struct session *s, const char *reason)
{
	size_t n = strlen(reason);

	if (n == 0 || n > STOP_REASON_MAX || word_load(&s->words->reason_size) != 0 || !s->map ||
	    (!session_tree_alive(s) && !s->pending_spawn))
		return;
	memcpy((char *)s->map + s->layout.notes + NOTES_SIZE - STOP_REASON_MAX, reason, n);
	word_store(&s->words->reason_size, n);
}

const char *session_reason(const struct session *s, size_t *ret_size)
{
	uint64_t n = word_load(&s->words->reason_size);

	if (n == 0 || n > STOP_REASON_MAX || !s->map || word_load(&s->words->stop.requested) == 0)
		return NULL;
	*ret_size = n;
	return (const char *)s->map + s->layout.notes + NOTES_SIZE - STOP_REASON_MAX;
}

void session_end_children(struct session *s)
{
	uint64_t handle = word_load(&s->words->handle);
	struct stop_plan plan;

	/* Only those that were started after it. */
	for (struct session *child = s->newer; child; child = child->newer) {
		if (word_load(&child->words->parent) != handle)
			continue;
		session_plan(child, &plan);
		session_stop(child, &plan, CAUSE_OWNER_GONE);
	}
}

static void on_timeout(uv_timer_t *timer)
{
	struct session *s = timer->data;
	struct stop_plan plan;

	session_plan(s, &plan);
	session_stop(s, &plan, CAUSE_TIMEOUT);
}

void session_arm_timeout(struct session *s)
{
	uint64_t at = word_load(&s->words->timeout_at), now = clock_boottime_ms();

	if (at == 0 || s->timer || session_ended(s))
		return;
	s->timer = calloc(1, sizeof(*s->timer));
	if (!s->timer)
		return;
	uv_timer_init(&s->engine->loop, s->timer);
	s->timer->data = s;
	s->n_handles++;
	uv_timer_start(s->timer, on_timeout, at > now ? at - now : 0, 0);
}
