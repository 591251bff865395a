/* SPDX-License-Identifier: Apache-2.0 */
/* call_threads.h - of a few threads that made calls in the last moments, and of those that made
 * them: which process they belong to, who its parent is, and what it is called.
 *
 * /proc tells all of that, but what it shows of a process that has just been made is built for us
 * alone. Who tells of forks may tell of each new name, too. Then a process has the name that its
 * parent had when it made it, until another is told. */
#pragma once
#include "observe/calls.h"

#define CALL_SETS 64U
#define CALL_WAYS 4U /* so many threads of a set are known */

struct call_thread {
	int32_t tid; /* 0: nobody */
	int32_t pid, ppid;
	int32_t maker;      /* the thread of ppid whose child it was at first; 0: not known */
	bool executes;      /* it may have another name by now */
	uint64_t until;     /* monotonic ms: what is not told is to be asked about again */
	uint64_t used;      /* higher: later */
	const void *teller; /* tells each name of this process; NULL: nobody does */
	char comm[16];      /* "": not known */
};

struct call_threads {
	struct call_thread known[CALL_SETS][CALL_WAYS];
	uint64_t uses;
	bool stat_only; /* the kernel has no shorter way than /proc/PID/stat */

	/* Whose children were asked for last, and the file that lists them. */
	struct {
		int32_t tid; /* 0: nobody's */
		int fd;      /* 0: not open */
		bool unfit;  /* there is no such file any more, or too much in it */
	} parent;

	/* NULL, or says by the functions below what is not known yet. */
	void (*ask)(void *userdata);
	void *userdata; /* of who makes a call: the teller */
};

/* A thread (`maker_tid`) of a process made another. */
void call_forked(struct call_threads *threads, int32_t maker, int32_t maker_tid, int32_t child,
		 const void *teller);

/* A process has another name. `teller` tells of every further one, and of its end. */
void call_renamed(struct call_threads *threads, int32_t pid, const char *comm, const void *teller);

/* Its number may be that of another from now on. */
void call_ended(struct call_threads *threads, int32_t pid, const void *teller);

/* Something may not have been told, or nothing will be any more. */
void call_untold(struct call_threads *threads, const void *teller);

/* Who makes a call; nothing else of what was said before holds for it. Valid until the next call of
 * any of these. */
struct call_thread *call_thread(struct call_threads *threads, const struct call *c);

/* It is about to run another program. */
void call_thread_executes(struct call_threads *threads, struct call_thread *k);

/* Closes what is open. */
void call_threads_done(struct call_threads *threads);

/* The process of a thread; the number itself when that is gone. */
int32_t call_process(int32_t tid);
