/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* emit.h - maps, records and their texts. */
#pragma once
#include "owner.h"

#define TEXT_ROOM  (TEXTS * TEXT_MAX)
#define NAME_BYTES 256
#define WALK_STEPS 128
#define WALK_BLOCK 32

#define PF_IO_WORKER 0x10

#define CATEGORY_FILE    1
#define CATEGORY_NETWORK 2
#define CATEGORY_PROCESS 3

/* As in reeve/observer.h, which cannot be included here: it needs libc's headers. ebpf_decode.c
 * checks that they agree. */
enum kind {
	KIND_EXITED = 2,
	KIND_FORKED,
	KIND_EXECUTED,
	KIND_OPENED,
	KIND_CREATED,
	KIND_CLOSED,
	KIND_MOVED,
	KIND_RENAMED,
	KIND_UNLINKED,
	KIND_LINKED,
	KIND_SYMLINKED,
	KIND_MKDIR,
	KIND_RMDIR,
	KIND_TRUNCATED,
	KIND_CHMOD,
	KIND_CHOWN,
	KIND_MAPPED,
	KIND_READ,
	KIND_WRITTEN,
	KIND_CONNECTED,
	KIND_BOUND,
	KIND_LISTENING,
	KIND_ACCEPTED,
	KIND_DATAGRAM,
	KIND_SENT,
	KIND_RECEIVED,
	KIND_URING,
};

/* A walk from a dentry to the root. In map memory: the verifier follows each value on the stack
 * through each step, and does not come to an end. */
struct walk {
	__u64 dentry, mount, top; /* `top`: the mount's own root */
	__u32 at, end;
	__u32 rooted, pad;
	__u64 block[WALK_BLOCK / 8]; /* of a dentry: its parent and its name */
};

/* Where a record is put together. Begins as struct open_file does, and can be stored as one. */
struct scratch {
	__u64 reported, inode, dentry, cred;
	__u32 place, live;
	struct record record;
	char text[TEXT_ROOM + 2 * NAME_BYTES];
	struct walk walk;
	__u64 args[8];
	__u8 raw[128]; /* an address of the process */
	__u32 busy;    /* of those in `work` */
};

#define NAMED_TEXT 1024
#define NAMED      2

/* What functions of the kernel had as names, for the end of the call or request that they serve. */
struct named {
	__u64 request; /* struct io_kiocb; 0: none is being served */
	__u32 call;    /* the number of the call */
	__u32 kind;    /* 0: nothing */
	__u32 mode;
	__s32 dirs[NAMED];  /* where a TEXT_STRING starts from when it is relative */
	__u32 sizes[NAMED]; /* 0: not known */
	__u32 forms[NAMED];
	char text[NAMED][NAMED_TEXT];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} ring_process SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} ring_bulk SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SESSIONS_MAX);
	__type(key, __u32);
	__type(value, struct session);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reader);
} reader SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tag);
} tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SESSIONS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct tag);
} by_cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct named);
} named SEC(".maps");

static __always_inline struct control *get_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline struct reader *get_reader(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&reader, &zero);
}

static __always_inline struct scratch *get_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* --- whose task ------------------------------------------------------------------------------ */

static __always_inline struct session *session_of_tag(const struct tag *tag)
{
	__u32 number = tag->session;
	struct session *s = bpf_map_lookup_elem(&sessions, &number);

	return s && s->generation == tag->generation && tag->generation != 0 ? s : 0;
}

/* The session of a task, whoever it runs as. One that sees everything has all tasks; but what our
 * own do, other than to fork and exit, only with `own`: to deliver an event would be an event. */
static __always_inline struct session *session_with(struct task_struct *task, struct tag *ret,
						    bool own)
{
	/* Most tasks have nothing stored: no call to find that out. */
	struct tag *tag = task->bpf_storage ? bpf_task_storage_get(&tags, task, 0, 0) : 0;
	struct session *s = 0;
	struct control *c;

	if (tag) {
		*ret = *tag;
		s = session_of_tag(tag);
	}
	if (s)
		return s;
	c = get_control();
	if (!c || c->everything == 0 || (!own && (__u32)task->tgid == c->self))
		return 0;
	ret->session = c->everything;
	s = bpf_map_lookup_elem(&sessions, &ret->session);
	if (s)
		ret->generation = s->generation;
	return s;
}

static __always_inline struct session *session_of(struct task_struct *task, struct tag *ret)
{
	struct session *s = session_with(task, ret, false);

	return s && may_be_told_of(task) ? s : 0;
}

/* The session of the first thread of its process. */
static __always_inline struct session *session_of_first(struct task_struct *task, struct tag *ret)
{
	struct task_struct *first = task->group_leader;
	struct tag *tag = first->bpf_storage ? bpf_task_storage_get(&tags, first, 0, 0) : 0;

	if (!tag)
		return 0;
	*ret = *tag;
	return session_of_tag(tag);
}

/* As session_of(), also for the threads that the kernel makes for io_uring: they are never tagged.
 */
static __always_inline struct session *session_of_worker(struct task_struct *task, struct tag *ret)
{
	struct session *s = session_of(task, ret);

	if (s || (task->flags & PF_IO_WORKER) == 0)
		return s;
	s = session_of_first(task, ret);
	return s && may_be_told_of(task) ? s : 0;
}

static __always_inline bool wants(const struct session *s, __u32 category)
{
	return (s->categories & 1U << category) != 0;
}

/* --- records --------------------------------------------------------------------------------- */

/* A pid as it is seen from our own namespace. */
static __always_inline __u32 pid_of(struct task_struct *task, __u32 initial, __u32 level)
{
	struct pid *pid;
	int nr = 0;

	if (level == 0)
		return initial;
	/* Read, not followed: older kernels compute with no typed pointer. */
	bpf_core_read(&pid, sizeof(pid), &task->thread_pid);
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      (level & 31) * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	return nr;
}

static __always_inline void record_begin(struct record *r, const struct tag *tag,
					 struct task_struct *task, __u32 category, __u32 kind)
{
	struct control *c = get_control();
	__u32 level = c ? c->level : 0;

	__builtin_memset(r, 0, sizeof(*r));
	r->time = bpf_ktime_get_ns();
	r->session = tag->session;
	r->generation = tag->generation;
	r->category = category;
	r->kind = kind;
	r->tid = pid_of(task, task->pid, level);
	r->pid = task->pid == task->tgid ? r->tid : pid_of(task->group_leader, task->tgid, level);
	r->ppid = pid_of(task->real_parent, task->real_parent->tgid, level);
	bpf_probe_read_kernel(r->comm, sizeof(r->comm), task->comm);
	r->size = sizeof(*r);
}

/* Wakes the reader when it sleeps, or when much waits; it looks by itself every few ms otherwise.
 */
static __always_inline __u64 wake_flags(void *ring, __u32 index)
{
	struct reader *r = get_reader();

	if (!r)
		return BPF_RB_FORCE_WAKEUP;
	if (r->sleeping[index] != 0) {
		r->sleeping[index] = 0;
		return BPF_RB_FORCE_WAKEUP;
	}
	if (bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >= r->wake_at[index])
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

/* Sends `r` with its texts behind it, up to `max` bytes; counts it in any case. */
static __always_inline void emit(struct session *s, struct record *r, __u32 size, const __u32 max)
{
	__u32 category = r->category & (CATEGORIES - 1);
	long result;

	r->seq = __sync_fetch_and_add(&s->emitted[category], 1) + 1;
	/* Just before it is used: older verifiers forget a bound that was found earlier. */
	barrier_var(size);
	if (size > max)
		size = max;
	if (category == CATEGORY_PROCESS)
		result = bpf_ringbuf_output(&ring_process, r, size, wake_flags(&ring_process, 0));
	else
		result = bpf_ringbuf_output(&ring_bulk, r, size, wake_flags(&ring_bulk, 1));
	if (result < 0)
		__sync_fetch_and_add(&s->dropped[category], 1);
}

/* Something happens that cannot be told, for want of room. */
static __always_inline void lose(struct session *s, __u32 category)
{
	category &= CATEGORIES - 1;
	__sync_fetch_and_add(&s->emitted[category], 1);
	__sync_fetch_and_add(&s->dropped[category], 1);
}

static __always_inline void emit_scratch(struct session *s, struct scratch *x)
{
	emit(s, &x->record, x->record.size, sizeof(struct record) + TEXT_ROOM);
}

/* --- texts ----------------------------------------------------------------------------------- */

static __always_inline __u32 text_begin(struct scratch *x)
{
	return x->record.size - sizeof(struct record);
}

static __always_inline void text_end(struct scratch *x, __u32 index, __u32 form, __u32 n)
{
	x->record.text_sizes[index & (TEXTS - 1)] = n;
	x->record.text_forms[index & (TEXTS - 1)] = form;
	x->record.size += n;
}

/* A string of the process. Returns its first byte. */
static __noinline int text_string(struct scratch *x, __u32 index, __u64 address)
{
	__u32 at = text_begin(x);
	long n;

	if (at > TEXT_ROOM - TEXT_MAX)
		return 0;
	n = bpf_probe_read_user_str(x->text + at, TEXT_MAX, (void *)address);
	if (n <= 0 || n > TEXT_MAX)
		return 0;
	if (n == TEXT_MAX)
		x->record.flags |= RECORD_CUT;
	text_end(x, index, TEXT_STRING, n);
	return x->text[at];
}

static __always_inline int text_kernel_string(struct scratch *x, __u32 index, __u64 address)
{
	__u32 at = text_begin(x);
	long n;

	if (at > TEXT_ROOM - TEXT_MAX)
		return 0;
	n = bpf_probe_read_kernel_str(x->text + at, TEXT_MAX, (void *)address);
	if (n <= 0 || n > TEXT_MAX)
		return 0;
	text_end(x, index, TEXT_STRING, n);
	return x->text[at];
}

/* What of the parent and the name lies behind the first of them: where the kernel has them side by
 * side, one read gets all. */
#define PARENT_AT bpf_core_field_offset(struct dentry, d_parent)
#define LENGTH_AT                                                                                  \
	(bpf_core_field_offset(struct dentry, d_name) + bpf_core_field_offset(struct qstr, len))
#define NAME_AT                                                                                    \
	(bpf_core_field_offset(struct dentry, d_name) + bpf_core_field_offset(struct qstr, name))

static __always_inline void read_dentry(struct walk *w, struct dentry *dentry, __u64 *parent,
					__u64 *name, __u32 *n)
{
	__u32 length_at = LENGTH_AT - PARENT_AT, name_at = NAME_AT - PARENT_AT;

	if (kernel_has.cast) {
		*parent = (__u64)READ(dentry, dentry, d_parent);
		*n = READ(dentry, dentry, d_name.len);
		*name = (__u64)READ(dentry, dentry, d_name.name);
		return;
	}
	if (length_at <= WALK_BLOCK - 8 && name_at <= WALK_BLOCK - 8) {
		bpf_probe_read_kernel(w->block, WALK_BLOCK, (void *)dentry + PARENT_AT);
		*parent = w->block[0];
		*n = *(__u32 *)((char *)w->block + length_at);
		*name = *(__u64 *)((char *)w->block + name_at);
		return;
	}
	*parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	*n = BPF_CORE_READ(dentry, d_name.len);
	*name = (__u64)BPF_CORE_READ(dentry, d_name.name);
}

static __always_inline void enter_mount(struct walk *w, __u64 mount)
{
	w->mount = mount;
	w->top = (__u64)READ(mount, mount, mnt.mnt_root);
}

static long walk_step(__u32 i, struct scratch **context)
{
	struct scratch *x = *context;
	struct dentry *dentry = (void *)x->walk.dentry;
	__u64 parent, name;
	__u32 n, at = x->walk.at;

	if ((__u64)dentry == x->walk.top) {
		struct mount *mount = (void *)x->walk.mount, *up = READ(mount, mount, mnt_parent);

		if (up == mount || !up) {
			x->walk.rooted = 1;
			return 1;
		}
		x->walk.dentry = (__u64)READ(mount, mount, mnt_mountpoint);
		enter_mount(&x->walk, (__u64)up);
		return 0;
	}
	read_dentry(&x->walk, dentry, &parent, &name, &n);
	if (parent == (__u64)dentry || !parent)
		return 1; /* of no mount: memfd, pipe, removed mount */
	n = n > NAME_BYTES - 1 ? NAME_BYTES - 1 : n;
	if (at + n >= x->walk.end)
		return 1;
	barrier_var(at);
	if (at > TEXT_ROOM)
		return 1;
	bpf_probe_read_kernel(x->text + at, n, (void *)name);
	at += n;
	if (at > TEXT_ROOM + NAME_BYTES)
		return 1;
	x->text[at] = 0;
	x->walk.at = at + 1;
	x->walk.dentry = parent;
	return 0;
}

/* The kernel's path of a dentry in a mount. */
static __noinline int text_walk(struct scratch *x, __u32 index, __u64 dentry, __u64 vfsmount)
{
	__u32 at = text_begin(x), end;

	if (at > TEXT_ROOM - TEXT_MAX || dentry == 0)
		return 0;
	x->walk.dentry = dentry;
	enter_mount(&x->walk, vfsmount - bpf_core_field_offset(struct mount, mnt));
	x->walk.at = at;
	x->walk.end = at + TEXT_MAX;
	x->walk.rooted = 0;
	bpf_loop(WALK_STEPS, walk_step, &x, 0);
	end = x->walk.at;
	if (end < at || end > at + TEXT_MAX)
		return 0;
	if (!x->walk.rooted)
		x->record.flags |= RECORD_UNROOTED;
	text_end(x, index, TEXT_WALK, end - at);
	return 0;
}

static __always_inline void text_file(struct scratch *x, __u32 index, struct file *file)
{
	text_walk(x, index, (__u64)READ(file, file, f_path.dentry),
		  (__u64)READ(file, file, f_path.mnt));
}

static __always_inline void text_cwd(struct scratch *x, __u32 index, struct task_struct *task)
{
	struct fs_struct *fs = task->fs;

	text_walk(x, index, (__u64)BPF_CORE_READ(fs, pwd.dentry),
		  (__u64)BPF_CORE_READ(fs, pwd.mnt));
}

/* The open file of a descriptor of the current process. */
static __always_inline struct file *file_of(struct task_struct *task, __u32 fd)
{
	struct fdtable *fdt = task->files->fdt;
	struct file *file = 0;

	if (fd >= fdt->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)fdt->fd + (__u64)fd * sizeof(file));
	return file;
}
