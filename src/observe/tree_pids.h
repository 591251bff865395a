/* SPDX-License-Identifier: Apache-2.0 */
/* tree_pids.h - who is in the tree of a target: for backends that hear of the whole machine. */
#pragma once
#include "observe/backend.h"
#include "observe/pidset.h"

/* Adds its leader, as far as that is known, and with `all` those that are in it now: at a late
 * start, and after a loss. */
void tree_pids_learn(struct pidset *pids, struct host *h, const struct backend_target *target,
		     bool all);
