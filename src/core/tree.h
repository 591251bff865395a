/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - all processes of a session, and ending them exactly.
 *
 * A process belongs to a tree when it is in the tree's cgroup leaf, or bears its mark
 * (RLIMIT_LOCKS, which fork, execve and setsid keep), or descends from one that does, or is its
 * leader. One that took another mark and another cgroup, and whose parent has ended, is a child of
 * the subreaper now, and a member when it is in the leader's POSIX session, or says by its
 * environment whose it is; else it is no longer known. A zombie does not count. One walk over /proc
 * serves all trees of a call.
 *
 * No signal goes to a bare pid: a pidfd is opened, membership is looked up again while it is
 * open, then the pidfd is signalled. A pid that changed its owner meanwhile is thereby never hit:
 * either the new owner is a member, or it is spared. The calling process and pid 1 are never
 * members. The caller may be any process, best the subreaper; the same trees are not to be worked
 * on from two threads. Needs memory, and up to CGROUP_DEPTH + 3 descriptors for a moment; when a
 * call fails for the lack of either it may be repeated.
 * Sources: pidfd_open(2), pidfd_send_signal(2), signal(7), cgroup-v2.rst, copy_process() in
 * kernel/fork.c (a fatal signal ends a fork that is under way). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_REFUSED_MAX 16U
#define TREE_SESSION_MAX 40U
#define TREE_VARIABLE    "REEVE_SESSION"

struct tree {
	uint64_t mark;        /* 0 for none */
	int cgroup_dir;       /* the daemon's directory, borrowed; -1 for none */
	uint32_t cgroup_leaf; /* 0 for none */
	pid_t leader;         /* a child of the caller that was not reaped; 0 for none */
	pid_t reaper;         /* whose children orphans are, one for all trees; 0: not looked for */
	bool all_orphans;     /* any of them is a member, */
	pid_t spared;         /* but for this one; else those that have */
	char session[TREE_SESSION_MAX]; /* this value of TREE_VARIABLE; "" for none */

	unsigned patience; /* of tree_kill_step(): 0 at first, kept from call to call */
	unsigned running;  /* of one call */
	bool contained;
};

/* Why a process is a member: a set. */
enum tree_how {
	TREE_CGROUP = 1 << 0,
	TREE_MARK = 1 << 1,
	TREE_LEADER = 1 << 2,
	TREE_DESCENT = 1 << 3,
	TREE_ORPHAN = 1 << 4,
};

struct tree_member {
	size_t tree; /* its index */
	pid_t pid;
	unsigned how; /* set of enum tree_how */
	char state;   /* see struct proc_stat */
	bool exiting; /* has begun to end: no signal changes how */
};

/* Which marks belong to sessions of their own. A process with such a mark, and what descends from
 * it, is no member by descent. NULL: none. An orphan whose environment cannot be read, since it is
 * ending or in the middle of an execve, may be of any tree, or with `disown_unknown` is of none. */
struct tree_filter {
	bool (*excluded)(uint64_t mark, void *userdata);
	void *userdata;
	bool disown_unknown;
};

/* What happened to one tree. A process is counted once a call, and again by the next call when it
 * has not ended by then. */
struct tree_result {
	unsigned alive;     /* members found by the last look, before the signals of this call */
	unsigned signalled; /* the signal reached them while they had not ended */
	bool leader;        /* it was one of those */
	unsigned gone;      /* ended, or members no more, before it did */
	unsigned refused;   /* another user's: EPERM */
	pid_t refused_pids[TREE_REFUSED_MAX];
};

/* Called for each member, a parent before those that are members by descent from it. Anything but
 * 0 ends the walk and is its result. */
typedef int (*tree_fn)(const struct tree_member *m, void *userdata);

/* Lists the members of `n` trees. */
int tree_each(const struct tree *trees, size_t n, const struct tree_filter *filter, tree_fn fn,
	      void *userdata);

/* Counts the members of each tree into `ret_alive[n]`, except those by descent alone, who take
 * far longer to find: no tree consists of these. 0 means that the tree is gone. Looks again when
 * it could not be told whose a process was, for one because it ended under its eyes; -EAGAIN when
 * that happened again and again. Returns 1 when there was one that the filter disowns. */
int tree_alive(const struct tree *trees, size_t n, const struct tree_filter *filter,
	       unsigned *ret_alive);

/* The cheap look: whether the tree's cgroup holds a process. What has moved elsewhere is not seen,
 * so that false is not yet the end of the tree. -EOPNOTSUPP without a cgroup. */
int tree_populated(const struct tree *t, bool *ret);

/* Whether a child of the reaper that bears no mark and is in no cgroup of any tree is this one's,
 * or cannot be told now. */
bool tree_may_have_orphan(const struct tree *t, pid_t pid);

/* Sends `signal` to every member once, and, when `wake` is set, SIGCONT to those that were stopped,
 * without which a soft signal waits until somebody continues them. Descendants come before their
 * ancestors. What is forked meanwhile is not hunted. */
int tree_signal(const struct tree *trees, size_t n, const struct tree_filter *filter, int signal,
		bool wake, struct tree_result *results);

/* Ends trees with SIGKILL, whatever they do. A call does a bounded amount of work, never waits, and
 * says what to expect:
 *   0: for each tree either nothing is left, or only the processes that are listed as refused;
 *   1: call again, soon at first, then with growing pauses: some have yet to end.
 * Uses cgroup.kill where it can (Linux 5.14). All other members are stopped until a look finds none
 * that runs, so that nobody is left to fork, and then killed at once. */
int tree_kill_step(struct tree *trees, size_t n, const struct tree_filter *filter,
		   struct tree_result *results);
