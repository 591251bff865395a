/* SPDX-License-Identifier: Apache-2.0 */
/* oom.c - was it the kernel that ended a command, for want of memory? */
#include "core/cgroup.h"
#include "core/oomlog.h"
#include "engine/session.h"
#include <signal.h>

/* How a process came by its SIGKILL is told by nothing about itself. */
void session_note_oom(struct session *s)
{
	struct control_slot *w = s->words;
	uint64_t leaf = word_load(&w->cgroup), ended = 0;
	struct exitinfo x = session_exitinfo(s);

	if (x.signal != SIGKILL || session_cause(s) != CAUSE_SIGNAL ||
	    session_outcome(s) != OUTCOME_NATURAL)
		return;
	if (leaf != 0)
		(void)cgroup_leaf_oom_killed(s->engine->daemon_fds[DAEMON_FD_CGROUP],
					     (uint32_t)leaf, &ended);
	if (ended > 0 || oomlog_ended(slot_pid(w), word_load(&w->exit.at)))
		word_store(&w->oom, 1);
}
