/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* observe.bpf.c - the programs of the backend `ebpf`: tracepoints with types, which need no
 * trampoline and so load where fentry and LSM programs are refused; and, where these load, too,
 * those at functions of the kernel.
 *
 * A task belongs to a session by its tag (task storage), which its children inherit; the first one
 * is set by the backend while the session's leader waits at its gate. Most calls are seen at their
 * end only, where the kernel's own objects say what the call was about. */
#include "functions.h"
#include "network.h"
#include "process.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define TS_COMPAT 2 /* thread_info.status: in a call of i386 */

static __always_inline bool is_compat(struct task_struct *task)
{
	return (task->thread_info.status & TS_COMPAT) != 0;
}

static __always_inline void take_args(struct scratch *x, struct pt_regs *regs, bool compat)
{
	if (compat) {
		x->args[0] = (__u32)regs->bx;
		x->args[1] = (__u32)regs->cx;
		x->args[2] = (__u32)regs->dx;
		x->args[3] = (__u32)regs->si;
		x->args[4] = (__u32)regs->di;
		x->args[5] = (__u32)regs->bp;
		return;
	}
	x->args[0] = regs->di;
	x->args[1] = regs->si;
	x->args[2] = regs->dx;
	x->args[3] = regs->r10;
	x->args[4] = regs->r8;
	x->args[5] = regs->r9;
}

static __always_inline const struct call *call_of(struct scratch *x, __u64 number, bool compat)
{
	const struct call *call;

	if (number >= CALLS)
		return 0;
	call = compat ? &calls32[number] : &calls64[number];
	if (call->op == OP_SOCKETCALL) {
		__u32 args[6] = { 0 };
		__u64 which = x->args[0];

		if (which >= SOCKETCALLS)
			return 0;
		bpf_probe_read_user(args, sizeof(args), (void *)x->args[1]);
		for (int i = 0; i < 6; i++)
			x->args[i] = args[i];
		call = &socketcalls[which];
	}
	return call;
}

static __always_inline void on_transfer(struct session *s, struct scratch *x,
					struct task_struct *task, const struct call *call,
					long result)
{
	struct file *file;

	if (result < 0)
		return;
	file = file_of(task, (__u32)arg(x, call->fd));
	if (file)
		count(s, x, file, result, call->op == OP_WRITE);
	if (call->op != OP_COPY)
		return;
	file = file_of(task, (__u32)arg(x, call->dir));
	if (file)
		count(s, x, file, result, true);
}

static __always_inline void on_file_call(struct session *s, struct scratch *x,
					 struct task_struct *task, const struct tag *tag,
					 const struct call *call, struct pt_regs *regs, long result)
{
	switch (call->op) {
	case OP_OPEN:
	case OP_OPENAT2:
	case OP_CREAT:
		opened(s, x, task, tag, call, regs, result);
		break;
	case OP_MMAP:
		if ((arg(x, call->mode) & PROTECT_EXEC) == 0 ||
		    (arg(x, call->flags) & MAP_NO_FILE) != 0)
			break;
		result = result > 0 || result < -4095 ? 0 : result;
		changed(s, x, task, tag, call, regs, result);
		break;
	default:
		changed(s, x, task, tag, call, regs, result);
		break;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_return, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct call *call;
	struct session *s;
	struct scratch *x;
	struct tag tag;
	bool compat;

	s = session_of(task, &tag);
	if (!s)
		return 0;
	x = get_scratch();
	if (!x)
		return 0;
	compat = is_compat(task);
	take_args(x, regs, compat);
	call = call_of(x, regs->orig_ax, compat);
	if (!call || call->op == OP_NONE)
		return 0;
	if (call->op == OP_READ || call->op == OP_WRITE || call->op == OP_COPY)
		on_transfer(s, x, task, call, result);
	else if (call->op == OP_CLOSE || call->op == OP_GONE)
		closed(task, call->op == OP_CLOSE ? (__u32)arg(x, call->fd) : -1U);
	else if (call->op >= OP_CONNECT && call->op <= OP_RECEIVE) {
		if (wants(s, CATEGORY_NETWORK))
			on_socket_call(s, x, task, &tag, call, result);
	} else if (wants(s, CATEGORY_FILE))
		on_file_call(s, x, task, &tag, call, regs, result);
	return 0;
}

/* IORING_OP_*: those that concern sockets. */
static __always_inline bool is_socket_opcode(__u8 opcode)
{
	return opcode == 9 || opcode == 10 || opcode == 13 || opcode == 16 || opcode == 26 ||
	       opcode == 27 || opcode == 45;
}

static __always_inline int submitted(struct io_kiocb *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *x = get_scratch();
	__u8 opcode = request->opcode;
	__u32 category = is_socket_opcode(opcode) ? CATEGORY_NETWORK : CATEGORY_FILE;
	struct session *s;
	struct tag tag;

	if (kernel_has.functions && kind_of_request(opcode) != 0)
		return 0; /* it is told as what it does */
	s = session_of_worker(task, &tag);
	if (!s || !x || !wants(s, category))
		return 0;
	record_begin(&x->record, &tag, task, category, KIND_URING);
	x->record.a = opcode;
	x->record.flags = RECORD_OPCODE;
	emit_scratch(s, x);
	return 0;
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(on_uring, struct io_kiocb *request)
{
	return submitted(request);
}

SEC("tp_btf/io_uring_submit_sqe") /* as Linux 6.1 calls it */
int BPF_PROG(on_uring_sqe, struct io_kiocb *request)
{
	return submitted(request);
}

/* --- run by the backend ---------------------------------------------------------------------- */

static __always_inline void sweep_file(__u64 key, struct open_file *of)
{
	struct tag tag = { of->record.session, of->record.generation };
	__u64 moved = of->record.totals[2] + of->record.totals[3];

	if (!session_of_tag(&tag) || file_is_gone((struct file *)key, of)) {
		end_file(of); /* of no session: it is forgotten */
	} else if (moved != of->reported) {
		of->reported = moved;
		emit_open_file(of, KIND_MOVED);
	}
}

static long sweep_bucket(void *map, __u32 *index, struct bucket *bucket, void *context)
{
	for (__u32 i = 0; i < BUCKET; i++) {
		__u64 key = bucket->keys[i];
		struct open_file *of = key != 0 ? file_at(*index * BUCKET + i) : 0;

		if (of && of->live != 0)
			sweep_file(key, of);
	}
	return 0;
}

SEC("raw_tp/sweep")
int sweep(struct bpf_raw_tracepoint_args *ctx)
{
	struct control *c = get_control();
	struct task_struct *task = bpf_get_current_task_btf();

	if (!c)
		return 0;
	if (ctx->args[0] == SWEEP_IDENTIFY) {
		c->self = task->tgid;
		c->level = task->thread_pid->level;
		return 0;
	}
	bpf_for_each_map_elem(&buckets, sweep_bucket, 0, 0);
	return 0;
}
