/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h - when a process has ended, by what is told of its threads: with the last of them. Its
 * first thread may end before others do, by pthread_exit() or because another calls execve and
 * takes its number over; what is told of that looks as if the process had ended. So they are
 * counted, of a process whose birth was told. What /proc shows decides for all others. */
#pragma once
#include "observe/pidset.h"

/* What stands in a set beside a pid; above 0: so many threads live. */
enum {
	THREADS_UNKNOWN = 0,
	THREADS_DOUBT = -1, /* unknown, and the first has ended before others */
	THREADS_TOLD = -2,  /* the process has ended, and that was said */
};

enum threads_news {
	THREADS_GO_ON,
	THREADS_DOUBTED, /* they go on, and nothing may be told of the last one's end */
	THREADS_ENDED,   /* the process has ended; nothing more will be told of it */
	THREADS_GONE,    /* it is no more; what is still to be told happened before */
};

/* A process was born: with one thread. As pidset_add(). */
int threads_born(struct pidset *s, pid_t pid);

/* Another thread was born. */
void threads_more(struct pidset *s, pid_t pid);

/* It executes something: of the threads there were, none says how the process will end. */
void threads_executed(struct pidset *s, pid_t pid);

/* A thread has ended, with `*code` (a wait status). A process that has ended stays in the set. When
 * it has, `*code` is its own as far as its threads tell: exit_group(2) and deadly signals give it
 * to all that have not ended by themselves, with 0 as libc has them do. */
enum threads_news threads_ended(struct pidset *s, pid_t pid, pid_t tid, int *code);

/* The next one in doubt that is no more, from place `*at` on; 0 when there is none. `*left` grows
 * by one for each that goes on. */
pid_t threads_next_gone(struct pidset *s, size_t *at, size_t *left);

/* Something was not told: of none is known any more how many there are. */
void threads_lost(struct pidset *s);
