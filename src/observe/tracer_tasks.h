/* SPDX-License-Identifier: Apache-2.0 */
/* tracer_tasks.h - what a tracer knows of the threads and processes that it traces. */
#pragma once
#include "reeve/observer.h"
#include <stdbool.h>
#include <sys/types.h>

#define TASK_BUCKETS 1024U

struct traced_process {
	pid_t pid;
	unsigned threads, exiting; /* of these, about to end */
	bool exit_told;
};

struct task {
	struct task *next;
	pid_t tid;
	struct traced_process *process; /* NULL: its maker has not told of it, and it has to wait */
	struct reeve_event *call;       /* what it is about to do; NULL: nothing of interest */
	bool exiting;
	bool in_call; /* between the beginning and the end of a call */
	bool is_new;  /* of the call: there was no such file before */
	int fd;       /* of the call: a descriptor that names the file; -1 */
};

/* All zero: empty. */
struct tasks {
	struct task *buckets[TASK_BUCKETS];
	unsigned n, homeless; /* of no process yet */
};

struct task *task_find(struct tasks *t, pid_t tid);

/* A new one, of no process yet. NULL without memory. */
struct task *task_add(struct tasks *t, pid_t tid);

/* It belongs to `process`, or with NULL is the first of a new one. False without memory. */
bool task_join(struct tasks *t, struct task *task, struct traced_process *process);

/* Some task of no process; NULL when there is none. `last`: the one before, NULL for the first. */
struct task *task_homeless(struct tasks *t, const struct task *last);
void task_remove(struct tasks *t, struct task *task);

/* All other threads of its process are gone, and it has the process's number now. */
void task_alone(struct tasks *t, struct task *task);
