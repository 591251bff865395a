/* SPDX-License-Identifier: Apache-2.0 */
/* tracer_calls.h - the part of a tracer that makes events of calls. */
#pragma once
#include "observe/call_decode.h"
#include "observe/tracer.h"
#include "observe/tracer_tasks.h"

struct tracer {
	struct tracer_config config;
	struct trace_ring ring;
	struct tasks tasks;
	struct call_threads threads;
	struct call_texts texts;
	bool ticking; /* SIGALRM comes each second: something moves */
};

/* Writes an event into the ring, if anybody wants it. */
void tracer_tell(struct tracer *t, const struct reeve_event *e);

/* A call begins: sets task->in_call when its end is of interest. Then it ends. */
void tracer_begin_call(struct tracer *t, struct task *task, uint32_t arch, uint64_t nr,
		       const uint64_t *args);
void tracer_end_call(struct tracer *t, struct task *task, int64_t result);

/* The process, which is this task alone, runs another program. */
void tracer_executed(struct tracer *t, struct task *task);

/* What descriptors a task has that was just made. */
void tracer_share_files(struct tracer *t, const struct task *maker, struct task *task, bool thread);

/* For struct open_files: tells of the end of one. */
void tracer_file_ended(void *userdata, struct open_file *file);

/* Tells of the open files that moved since they were last told of. */
void tracer_tell_moved(struct tracer *t);
