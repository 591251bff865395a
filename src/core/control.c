/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - the torture hook of control memory; empty in a normal build.
 *
 * REEVE_KILL_AT=N kills the process with SIGKILL at the Nth passage of a hook. Each store has two
 * passages, one before and one after it, so N runs over every instant that a store can separate. */
#include "core/control.h"

#ifdef REEVE_TORTURE
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static long hooks_left = -1;

void word_hook_arm(long n)
{
	hooks_left = n;
}

void word_hook(void)
{
	if (hooks_left > 0 && --hooks_left == 0)
		kill(getpid(), SIGKILL);
}
#else
void word_hook_arm(long n)
{
	(void)n;
}

void word_hook(void)
{
}
#endif
