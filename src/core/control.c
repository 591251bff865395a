/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - the name of a slot, and the torture hooks of control memory, empty in a normal build.
 *
 * A test writes N into the counter of a role: the process of that role is killed with SIGKILL at
 * its Nth passage of a hook from then on. Each store has two passages, one before and one after it,
 * so N runs over every instant that a store can separate. The counter stands in control memory and
 * is 0 after the kill: whoever takes over is spared. */
#include "core/control.h"
#include <inttypes.h>
#include <stdio.h>

#ifdef REEVE_TORTURE
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#endif

void slot_id(const struct control_slot *slot, char to[SLOT_ID_MAX])
{
	snprintf(to, SLOT_ID_MAX, "%s-%016" PRIx64 "-%08" PRIx32,
		 word_load(&slot->kind) == KIND_PTY ? "pty" : "pipe", word_load(&slot->id_time),
		 (uint32_t)word_load(&slot->id_counter));
}

#ifdef REEVE_TORTURE

static struct control_daemon *memory;
static enum word_role role;

void word_hook_role(void *control_memory, enum word_role own)
{
	memory = control_daemon(control_memory);
	role = own;
}

void word_hook(void)
{
	if (memory && word_load(&memory->torture[role]) > 0 &&
	    atomic_fetch_sub(&memory->torture[role].value, 1) == 1)
		kill(getpid(), SIGKILL);
}

void word_hook_slot(unsigned slot)
{
	if (memory && word_load(&memory->poison) == slot)
		abort();
}
#else
void word_hook_role(void *control_memory, enum word_role own)
{
	(void)control_memory;
	(void)own;
}

void word_hook(void)
{
}

void word_hook_slot(unsigned slot)
{
	(void)slot;
}
#endif
