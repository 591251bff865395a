/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - signals that were asked for go to the leader's process group. */
#include "keeper/keeper.h"
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Only to a leader that has not been reaped: its pid, and so its group, is still its own. */
static void send_one(struct keeper *k, unsigned slot, int signal)
{
	struct control_slot *s = keeper_slot(k, slot);

	if (word_load(&s->exit.ready) || slot_pid(s) <= 0)
		return;
	if (!k->slots[slot].adopted && kill(-slot_pid(s), signal) == 0)
		return;
	if (slot_holds(k, slot, SLOT_FD_PID))
		syscall(SYS_pidfd_send_signal, k->slots[slot].fds[SLOT_FD_PID], signal, NULL, 0);
}

void signals_send(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	struct control_signals *w = &s->signals;
	uint32_t asked = (uint32_t)word_load(&w->asked), done = (uint32_t)word_load(&w->done);

	if (word_load(&s->spawn) != SPAWN_STARTED)
		return; /* it will be looked at again when it has */
	if (asked - done > SIGNAL_QUEUE)
		done = asked - SIGNAL_QUEUE; /* no engine asks for so many at once */
	while (done != asked) {
		done++;
		word_store(&w->begun, done); /* from now on it cannot stand for a later one */
		send_one(k, slot, (int)word_load(&w->queue[done % SIGNAL_QUEUE]));
		/* Behind it: a keeper that dies in between leaves a signal that its successor sends
		 * twice. The other way round it would be lost, and whoever sent it waits for ever.
		 */
		word_store(&w->done, done);
	}
}
