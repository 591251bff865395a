/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - cgroups v2 for sessions: one directory of the daemon's, one leaf "s<n>" a session.
 *
 * Only version 2 is used, where the kernel ends a whole tree at once (cgroup.kill, 5.14) and tells
 * when it is empty. No controller is needed, none is enabled. Only cgroup_open() allocates, and
 * frees again. A `dir` is an open descriptor of the daemon's directory, `leaf` a number above 0.
 * Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, "Core Interface Files" and
 * "Delegation". */
#pragma once
#include "base/error.h"
#include "core/proc.h"
#include <stdbool.h>
#include <stdint.h>

#define CGROUP_TAG_MAX 64U
#define CGROUP_DEPTH   32U /* cgroups inside a leaf are walked down to here */

/* Finds where this process may make cgroups, makes `reeve-TAG` below its own and tries it: a child
 * enters a leaf of it, is seen there, and ends. The directory may exist, with leaves left in it.
 * Gives it as an open descriptor. When it cannot be, -EOPNOTSUPP or the errno of the step, with the
 * reason and the remedy in `e`. REEVE_CGROUP=off in the environment always says no. Forks. */
int cgroup_open(const char *tag, int *ret, struct error *e);

/* Removes the directory's leaves that are empty, and then the directory `reeve-TAG` when none is
 * left (-EBUSY otherwise). `dir` stays open and is of no more use. */
int cgroup_close_down(int dir);

/* -EEXIST when there is one of that number. */
int cgroup_leaf_make(int dir, uint32_t leaf);

/* The leaf's directory, opened with O_PATH: for CLONE_INTO_CGROUP, or to open its files. */
int cgroup_leaf_open(int dir, uint32_t leaf);

/* cgroup.procs opened for writing: a process that writes "0" to it enters the leaf. Returns the
 * descriptor or a negative errno. */
int cgroup_leaf_procs_fd(int dir, uint32_t leaf);

/* Whether the leaf, or a cgroup in it, holds a process that has not ended (cgroup.events). -ENOENT
 * when there is no such leaf; the same with all that follows. */
int cgroup_leaf_populated(int dir, uint32_t leaf, bool *ret);

/* Each process in the leaf and the cgroups in it; zombies are not among them. A process may be
 * given twice when it moves meanwhile. */
int cgroup_leaf_each_pid(int dir, uint32_t leaf, proc_fn fn, void *userdata);

/* Whether `pid` is in the leaf or in a cgroup in it. */
int cgroup_leaf_has(int dir, uint32_t leaf, pid_t pid, bool *ret);

/* SIGKILL for all in it, those being forked too. Returns at once, they end soon. -EOPNOTSUPP before
 * Linux 5.14, and in a threaded cgroup. */
int cgroup_leaf_kill(int dir, uint32_t leaf);

/* Stops all in it, or lets them go on; takes effect soon. A frozen process can be killed. */
int cgroup_leaf_freeze(int dir, uint32_t leaf, bool on);

/* Removes the leaf and the cgroups in it. -EBUSY while a process is there; what was empty is gone
 * even then. */
int cgroup_leaf_remove(int dir, uint32_t leaf);

/* Calls `fn` for each leaf that exists. It may remove the leaf. Anything but 0 ends the walk. */
int cgroup_leaf_each(int dir, int (*fn)(uint32_t leaf, void *userdata), void *userdata);

/* How many of the leaf's processes the OOM killer ended (memory.events). 0 where no memory
 * controller is enabled for the leaf. */
int cgroup_leaf_oom_killed(int dir, uint32_t leaf, uint64_t *ret);
