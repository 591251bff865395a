/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - what a session's words mean, in the words of the API. */
#include "core/stopplan.h"
#include "engine/session.h"
#include <signal.h>

bool session_started(const struct session *s)
{
	return word_load(&s->words->spawn) == SPAWN_STARTED;
}

bool session_failed(const struct session *s)
{
	/* until the engine has taken that up, it may ask another keeper */
	return word_load(&s->words->spawn) == SPAWN_FAILED && !s->pending_spawn;
}

bool session_exited(const struct session *s)
{
	return word_load(&s->words->exit_seen) != 0;
}

bool session_ended(const struct session *s)
{
	return session_failed(s) || session_exited(s);
}

bool session_tree_alive(const struct session *s)
{
	return session_started(s) && !word_load(&s->words->tree_gone);
}

bool session_is_done(const struct session *s)
{
	if (session_tree_alive(s) || s->pending_spawn)
		return false;
	return session_ended(s) || (word_load(&s->words->exit.ready) && output_is_held(s));
}

bool session_stopping(const struct session *s)
{
	return word_load(&s->words->stop.requested) != 0 && !session_ended(s);
}

struct exitinfo session_exitinfo(const struct session *s)
{
	struct exitinfo x = exitinfo_unpack(word_load(&s->words->exit.status));

	if (s->leftovers == LEFTOVERS_FAIL && word_load(&s->words->n_leftovers) > 0 && x.known &&
	    x.code == 0)
		x.code = 1;
	return x;
}

/* Of the stop request made last. */
static enum cause stop_cause(const struct session *s)
{
	struct control_stop *stop = &s->words->stop;

	return (enum cause)word_load(&control_plan(stop, word_load(&stop->requested))->cause);
}

/* Somebody asked for the end, and the leader had not ended by itself before the first signal. */
static bool was_asked(const struct session *s)
{
	return word_load(&s->words->stop.requested) != 0 && stop_cause(s) != CAUSE_LEFTOVERS &&
	       word_load(&s->words->stop.signalled) & MARK_LEADER_WAS_ALIVE;
}

/* A signal sent with `kill` ended it: nobody asked for a stop, but it was no natural end. */
static bool was_killed(const struct session *s, const struct exitinfo *x)
{
	return x->signal != 0 && session_was_signalled(s, x->signal);
}

static bool took_sigkill(const struct session *s, const struct exitinfo *x)
{
	return word_load(&s->words->stop.signalled) & MARK_HARD || x->signal == SIGKILL;
}

enum outcome session_outcome(const struct session *s)
{
	struct exitinfo x = session_exitinfo(s);

	if (was_asked(s) || word_load(&s->words->lost))
		return took_sigkill(s, &x)          ? OUTCOME_HARD
		       : word_load(&s->words->lost) ? OUTCOME_NATURAL
						    : OUTCOME_SOFT;
	if (was_killed(s, &x))
		return x.signal == SIGKILL ? OUTCOME_HARD : OUTCOME_SOFT;
	return OUTCOME_NATURAL;
}

enum cause session_cause(const struct session *s)
{
	struct exitinfo x = session_exitinfo(s);

	if (word_load(&s->words->lost))
		return (enum cause)word_load(&s->words->lost);
	if (was_asked(s))
		return stop_cause(s);
	if (word_load(&s->words->oom))
		return CAUSE_OOM;
	return x.signal != 0 ? CAUSE_SIGNAL : CAUSE_EXIT;
}

const char *session_status(const struct session *s)
{
	if (session_failed(s))
		return "failed";
	if (session_exited(s))
		return was_asked(s) ? "stopped" : "exited";
	if (session_stopping(s))
		return "stopping";
	return session_started(s) ? "running" : "starting";
}
