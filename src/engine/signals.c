/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - signals for the command itself: asked for in control memory, sent by the keeper. */
#include "engine/session.h"
#include <errno.h>
#include <signal.h>

/* The halves of the word `asked`. */
static uint32_t asked(const struct session *s)
{
	return (uint32_t)word_load(&s->words->signals.asked);
}

uint32_t session_signals_taken(const struct session *s)
{
	return (uint32_t)(word_load(&s->words->signals.asked) >> 32);
}

static bool is_job_control(uint64_t signal)
{
	return signal >= SIGCONT && signal <= SIGTTOU;
}

/* Of the same signal one waits to be sent, as in the kernel; but stopping and continuing cancel
 * each other, so their order stays. One that is just being sent may have arrived: it does not wait.
 */
static bool is_waiting(const struct session *s, uint64_t signal)
{
	const struct control_signals *w = &s->words->signals;
	uint32_t begun = (uint32_t)word_load(&w->begun);

	for (uint32_t n = asked(s); n != begun && signal < (uint64_t)SIGRTMIN; n--) {
		uint64_t other = word_load(&w->queue[n % SIGNAL_QUEUE]);

		if (other == signal)
			return true;
		if (is_job_control(signal) && is_job_control(other))
			return false;
	}
	return false;
}

static int ask(struct session *s, int signal, uint32_t taken)
{
	struct control_signals *w = &s->words->signals;
	uint32_t n = asked(s);

	if (!is_waiting(s, (uint64_t)signal)) {
		if (++n - (uint32_t)word_load(&w->done) > SIGNAL_QUEUE)
			return -EAGAIN;
		word_store(&w->queue[n % SIGNAL_QUEUE], (uint64_t)signal);
	}
	word_store(&w->asked, (uint64_t)taken << 32 | n);
	link_tell(s->engine, LINK_SIGNAL, s->slot, 0);
	return 0;
}

int session_signal(struct session *s, int signal)
{
	return ask(s, signal, session_signals_taken(s));
}

int session_signal_numbered(struct session *s, int signal, uint64_t number)
{
	uint32_t taken = session_signals_taken(s);

	if (number <= taken)
		return 0;
	return number == (uint64_t)taken + 1 ? ask(s, signal, taken + 1) : -ERANGE;
}

bool session_was_signalled(const struct session *s, int signal)
{
	const struct control_signals *w = &s->words->signals;
	uint32_t n = asked(s);

	for (uint32_t i = 0; i < SIGNAL_QUEUE && i < n; i++)
		if (word_load(&w->queue[(n - i) % SIGNAL_QUEUE]) == (uint64_t)signal)
			return true;
	return false;
}

void session_resume(struct session *s)
{
	const struct control_stop *stop = &s->words->stop;

	if (word_load(&stop->requested) > word_load(&stop->begun))
		link_tell(s->engine, LINK_STOP, s->slot, 0);
	if (asked(s) != (uint32_t)word_load(&s->words->signals.done))
		link_tell(s->engine, LINK_SIGNAL, s->slot, 0);
}
