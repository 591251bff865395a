/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/tree_pids.h"
#include "core/tree.h"
#include "observe/threads.h"

static int add_member(const struct tree_member *m, void *userdata)
{
	return pidset_add(userdata, m->pid);
}

void tree_pids_learn(struct pidset *pids, struct host *h, const struct backend_target *target,
		     bool all)
{
	struct tree tree = {
		.mark = target->mark,
		.cgroup_dir = target->cgroup_leaf != 0 ? host_cgroup_dir(h) : -1,
		.cgroup_leaf = target->cgroup_leaf,
		.leader = target->leader,
	};

	if (target->leader != 0)
		(void)(all ? pidset_add(pids, target->leader) : threads_born(pids, target->leader));
	if (all)
		(void)tree_each(&tree, 1, NULL, add_member, pids);
}
