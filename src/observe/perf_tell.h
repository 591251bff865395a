/* SPDX-License-Identifier: Apache-2.0 */
/* perf_tell.h - of the backend `perf`: who follows, whom, and what is told of the records. */
#pragma once
#include "observe/host.h"
#include "observe/perf_ring.h"
#include "observe/pidset.h"

struct backend_run;

struct follower {
	struct host *host;
	struct tracked *first;
	struct watch timer, wakes; /* an epoll of all CPUs' */
	struct hook hook;
	bool ticking; /* what comes is found when the timer ends; else `wakes` is watched */
	bool found;   /* since the last time it did */
	unsigned row; /* so many times in a row something was */
	bool deaf;    /* the bells are off */
	bool shared;  /* of the machine, for all runs that want no more than forks */
	bool unsure;  /* what is still to be told may lack something in between */
	struct perf_rings rings;
};

/* A run, and whom it observes of those that its follower sees. */
struct tracked {
	struct tracked *next;
	struct backend_run *run;
	struct follower *follower;
	/* Where the follower is shared: */
	struct pidset pids;
	struct pidset gone; /* of these: they were no more before we read what there is */
	bool looked;        /* for those */
	size_t many;        /* so many members are worth it */
	/* Else `pids` has those of whose threads something is known. */
	size_t doubted; /* of `pids`: they end without a word */
};

/* Tells of what happened, in order; what has to wait is kept, and all that came after it: a program
 * whose execve is still under way waits for up to `patience` ns. So does what was written while we
 * read: what came before may stand in memory that we had read already. */
void perf_tell(struct follower *f, uint64_t patience);
