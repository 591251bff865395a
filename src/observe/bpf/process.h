/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* process.h - forks, executions, exits. */
#pragma once
#include "emit.h"

#define ARGS_BYTES 2048

/* A task that came into a session's cgroup from elsewhere. */
static __always_inline void tag_by_cgroup(struct task_struct *task)
{
	struct control *c = get_control();

	if (!c || c->cgroups == 0)
		return;
	for (int level = 1; level < CGROUP_LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);
		struct tag *tag;

		if (id == 0)
			return;
		tag = bpf_map_lookup_elem(&by_cgroup, &id);
		if (!tag)
			continue;
		bpf_task_storage_get(&tags, task, tag, BPF_LOCAL_STORAGE_GET_F_CREATE);
		return;
	}
}

/* Whether a session is to be told of a task's fork, execution or end. What may not be told is
 * counted. */
static __always_inline bool is_to_be_told(struct session *s, struct task_struct *task)
{
	if (!wants(s, CATEGORY_PROCESS))
		return false;
	if (may_be_told_of(task))
		return true;
	lose(s, CATEGORY_PROCESS);
	return false;
}

static __always_inline void note_gone(void)
{
	struct reader *r = kernel_has.functions ? 0 : get_reader();

	if (r)
		r->gone++;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct tag tag, *own;
	struct session *s;
	struct scratch *x;
	struct control *c;

	own = bpf_task_storage_get(&tags, parent, 0, 0);
	if (!own) {
		tag_by_cgroup(parent);
		own = bpf_task_storage_get(&tags, parent, 0, 0);
	}
	if (own) {
		tag = *own;
		bpf_task_storage_get(&tags, child, &tag, BPF_LOCAL_STORAGE_GET_F_CREATE);
	}
	if (child->tgid == parent->tgid)
		return 0; /* a thread */
	s = session_with(parent, &tag, true);
	x = get_scratch();
	c = get_control();
	if (!s || !x || !c || !is_to_be_told(s, parent))
		return 0;
	record_begin(&x->record, &tag, parent, CATEGORY_PROCESS, KIND_FORKED);
	x->record.a = pid_of(child, child->tgid, c->level);
	x->record.flags = RECORD_CHILD;
	emit_scratch(s, x);
	return 0;
}

static __always_inline void text_args(struct scratch *x, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	unsigned long from = mm->arg_start, n = mm->arg_end - from;
	__u32 at = text_begin(x);

	if (n > ARGS_BYTES) {
		n = ARGS_BYTES;
		x->record.flags |= RECORD_CUT;
	}
	if (at > TEXT_ROOM - TEXT_MAX || bpf_probe_read_user(x->text + at, n, (void *)from) < 0)
		return;
	text_end(x, TEXT_ARGV, TEXT_ARGS, n);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *binary)
{
	struct session *s;
	struct scratch *x = get_scratch();
	struct tag tag;

	if (!bpf_task_storage_get(&tags, task, 0, 0))
		tag_by_cgroup(task);
	s = session_with(task, &tag, true);
	if (!s || !x)
		return 0;
	note_gone();
	if (!is_to_be_told(s, task))
		return 0;
	record_begin(&x->record, &tag, task, CATEGORY_PROCESS, KIND_EXECUTED);
	text_file(x, TEXT_PATH, binary->file);
	text_args(x, task);
	text_cwd(x, TEXT_CWD, task);
	emit_scratch(s, x);
	return 0;
}

#define SIGNAL_GROUP_EXIT 0x4

/* Processes of which no thread lives any more, and of whose end was told. */
struct ended {
	__u64 signal, start;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ended);
	__type(value, __u32);
} told_ended SEC(".maps");

/* The last thread of a process. Where the kernel does not say so, several that end at the same time
 * find that none lives any more; one of them is the last. */
static __always_inline bool is_last(const __u64 *ctx, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct ended key = { (__u64)signal, task->group_leader->start_time };
	__u32 value = 0;

	if (kernel_has.group_dead)
		return (ctx[1] & 1) != 0;
	return signal->live.counter == 0 &&
	       bpf_map_update_elem(&told_ended, &key, &value, BPF_NOEXIST) == 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct signal_struct *signal = task->signal;
	struct session *s;
	struct scratch *x = get_scratch();
	struct tag tag;

	s = session_with(task, &tag, true);
	/* Of a process that was there before, an older kernel lets only the first thread be tagged.
	 */
	if (!s)
		s = session_of_first(task, &tag);
	if (!s || !x || !is_last(ctx, task))
		return 0;
	note_gone();
	if (!is_to_be_told(s, task))
		return 0;
	record_begin(&x->record, &tag, task, CATEGORY_PROCESS, KIND_EXITED);
	x->record.flags = RECORD_EXIT;
	x->record.a = (signal->flags & SIGNAL_GROUP_EXIT) != 0 ? signal->group_exit_code
							       : task->group_leader->exit_code;
	x->record.totals[0] = signal->utime + task->utime;
	x->record.totals[1] = signal->stime + task->stime;
	emit_scratch(s, x);
	return 0;
}
