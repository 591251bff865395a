/* SPDX-License-Identifier: Apache-2.0 */
/* strangers.c - what has got away from its session ends with the daemon.
 *
 * A process that took another mark, left its cgroup, began a POSIX session, forgot its environment
 * and lost its parent cannot be told to be any session's. But it hangs on this subreaper, as
 * nothing does that was not started below it. */
#include "base/log.h"
#include "keeper/keeper.h"
#include <unistd.h>

#define STRANGERS_MS 5000U

static int is_stranger(pid_t pid, void *userdata)
{
	const struct keeper *k = userdata;

	return pid != k->spawner.pid;
}

static int name(const struct tree_member *m, void *userdata)
{
	struct proc_stat st;

	(void)userdata;
	if (proc_stat_read(m->pid, &st) >= 0)
		log_warn("PID %d (%s) got away from its session; it ends with the daemon",
			 (int)m->pid, st.comm);
	return 0;
}

bool strangers_end(struct keeper *k, uint64_t now)
{
	struct tree t = {
		.cgroup_dir = -1, .reaper = getpid(), .all_orphans = true, .spared = k->spawner.pid
	};
	struct tree_result result;
	bool first = k->strangers_until == 0;

	if (!k->born_childless || proc_each_child(is_stranger, k) <= 0)
		return false;
	if (first) {
		k->strangers_until = now + STRANGERS_MS;
		tree_each(&t, 1, NULL, name, NULL);
	}
	return tree_kill_step(&t, 1, NULL, &result) == 1 && now < k->strangers_until;
}
