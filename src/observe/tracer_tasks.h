/* SPDX-License-Identifier: Apache-2.0 */
/* tracer_tasks.h - what a tracer knows of the threads and processes that it traces. */
#pragma once
#include "observe/call_follow.h"
#include "observe/tracer_files.h"
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
	struct descriptors *descriptors; /* NULL: not known */
	bool exiting;
	bool in_call;                     /* the end of a call is of interest */
	bool is_new;                      /* of the call: there was no such file before */
	struct call made;                 /* the call, with */
	struct reeve_event *call;         /* what tells of it; NULL: nothing */
	const struct follow_rule *follow; /* or how it is followed; NULL: not */
};

/* All zero, but for `files`: empty. */
struct tasks {
	struct task *buckets[TASK_BUCKETS];
	unsigned n, homeless; /* of no process yet */
	struct open_files files;
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
