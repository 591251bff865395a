/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* functions.h - programs at functions of the kernel (fentry, fexit), where those load: they take
 * trampolines. They see what system calls do not show: requests of io_uring, the name that the
 * kernel took from memory that the process may change, the path of what is created, removed and
 * renamed, and the end of each open file when it comes.
 *
 * What belongs to a system call is noted only (struct named): the call's end tells it, with its
 * result. A request of io_uring is told by request_end().
 *
 * Other than at a tracepoint another task of this processor may come between. So they have working
 * memory that is taken and given back. */
#pragma once
#include "files.h"

#define WORKS          4
#define FLAG_EXECUTE   0x20     /* open_flag: __FMODE_EXEC */
#define LOOKUP_NO_WAIT 0x200000 /* LOOKUP_CACHED */
#define TRY_AGAIN      (-11)
#define ERRORS         4095

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WORKS);
	__type(key, __u32);
	__type(value, struct scratch);
} work SEC(".maps");

/* Of this processor's, which this task does not leave meanwhile, one that nobody has. */
static __always_inline struct scratch *take_work(void)
{
	for (__u32 i = 0; i < WORKS; i++) {
		__u32 key = i;
		struct scratch *x = bpf_map_lookup_elem(&work, &key);

		if (x && __sync_val_compare_and_swap(&x->busy, 0, 1) == 0)
			return x;
	}
	return 0;
}

static __always_inline void give_back(struct scratch *x)
{
	__sync_val_compare_and_swap(&x->busy, 1, 0);
}

/* A pointer as a number: the verifier lets nobody compute with its own. */
static __always_inline __u64 number_of(const void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* A pointer that stands for an error. */
static __always_inline bool is_error(__u64 pointer)
{
	return pointer >= -(__u64)ERRORS;
}

/* --- requests of io_uring -------------------------------------------------------------------- */

/* IORING_OP_*: what is told as what it does; 0: the others. */
static __always_inline __u32 kind_of_request(__u8 opcode)
{
	switch (opcode) {
	case 18:
	case 28:
		return KIND_OPENED;
	case 19:
		return KIND_CLOSED;
	case 35:
		return KIND_RENAMED;
	case 36:
		return KIND_UNLINKED; /* or rmdir */
	case 37:
		return KIND_MKDIR;
	case 38:
		return KIND_SYMLINKED;
	case 39:
		return KIND_LINKED;
	default:
		return 0;
	}
}

static __always_inline void note_string(struct named *n, __u32 which, const struct filename *name,
					int dir)
{
	const char *text = 0;
	long size;

	bpf_core_read(&text, sizeof(text), &name->name);
	size = bpf_probe_read_kernel_str(n->text[which], NAMED_TEXT, text);
	n->sizes[which] = size > 1 && size < NAMED_TEXT ? size : 0;
	n->forms[which] = TEXT_STRING;
	n->dirs[which] = dir;
}

#define FIELD(type, request, member)                                                               \
	({                                                                                         \
		typeof(((struct type *)0)->member) field_ = 0;                                     \
		bpf_core_read(&field_, sizeof(field_), &((struct type *)(request))->member);       \
		field_;                                                                            \
	})

/* The names as the request has them: of one that fails nothing else is known. */
static __always_inline void note_request(struct named *n, struct io_kiocb *request, __u32 kind)
{
	switch (kind) {
	case KIND_UNLINKED:
		if ((FIELD(io_unlink, request, flags) & AT_REMOVE_DIR) != 0)
			n->kind = KIND_RMDIR;
		note_string(n, 0, FIELD(io_unlink, request, filename),
			    FIELD(io_unlink, request, dfd));
		break;
	case KIND_MKDIR:
		n->mode = FIELD(io_mkdir, request, mode);
		note_string(n, 0, FIELD(io_mkdir, request, filename),
			    FIELD(io_mkdir, request, dfd));
		break;
	case KIND_RENAMED:
		note_string(n, 0, FIELD(io_rename, request, oldpath),
			    FIELD(io_rename, request, old_dfd));
		note_string(n, 1, FIELD(io_rename, request, newpath),
			    FIELD(io_rename, request, new_dfd));
		break;
	default:
		note_string(n, 0, FIELD(io_link, request, oldpath),
			    FIELD(io_link, request, old_dfd));
		note_string(n, 1, FIELD(io_link, request, newpath),
			    FIELD(io_link, request, new_dfd));
		break;
	}
}

SEC("fentry/io_issue_sqe")
int BPF_PROG(request_begin, struct io_kiocb *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 kind = kind_of_request(request->opcode);
	struct session *s;
	struct named *n;
	struct tag tag;

	if (kind == 0 || kind == KIND_CLOSED)
		return 0;
	s = session_of_worker(task, &tag);
	if (!s || !wants(s, CATEGORY_FILE))
		return 0;
	n = bpf_task_storage_get(&named, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!n) {
		lose(s, CATEGORY_FILE);
		return 0;
	}
	n->request = (__u64)request;
	n->kind = kind;
	n->sizes[0] = n->sizes[1] = 0;
	if (kind != KIND_OPENED)
		note_request(n, request, kind);
	return 0;
}

static __always_inline void text_of_request(struct scratch *x, struct task_struct *task,
					    struct named *n, __u32 index, __u32 base, __u32 which)
{
	int first = text_named(x, index, n, which);

	if (n->forms[which] == TEXT_STRING && first != '/')
		text_base(x, task, base, n->dirs[which]);
}

static __always_inline void tell_request(struct scratch *x, struct task_struct *task,
					 struct named *n, int result)
{
	if (n->kind == KIND_MKDIR) {
		x->record.b = n->mode & 07777;
		x->record.flags |= RECORD_MODE;
	}
	set_result(x, result);
	if (n->kind == KIND_SYMLINKED)
		text_named(x, TEXT_PATH, n, 0);
	else
		text_of_request(x, task, n, TEXT_PATH, TEXT_BASE, 0);
	if (n->kind == KIND_RENAMED || n->kind == KIND_LINKED || n->kind == KIND_SYMLINKED)
		text_of_request(x, task, n, TEXT_PATH2, TEXT_BASE2, 1);
}

/* What opens was told by open_returned(). One that would have had to wait is issued again. */
SEC("fexit/io_issue_sqe")
int BPF_PROG(request_end, struct io_kiocb *request, unsigned int flags, int issued)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct session *s;
	struct scratch *x;
	struct named *n;
	struct tag tag;

	if (!task->bpf_storage)
		return 0;
	n = bpf_task_storage_get(&named, task, 0, 0);
	if (!n || n->request != (__u64)request)
		return 0;
	n->request = 0;
	s = session_of_worker(task, &tag);
	if (!s || issued != 0 || n->kind == KIND_OPENED)
		return 0;
	x = take_work();
	if (!x) {
		lose(s, CATEGORY_FILE);
		return 0;
	}
	record_begin(&x->record, &tag, task, CATEGORY_FILE, n->kind);
	tell_request(x, task, n, request->cqe.res);
	emit_scratch(s, x);
	give_back(x);
	return 0;
}

/* --- opening --------------------------------------------------------------------------------- */

static __always_inline void opened_by_request(struct session *s, struct task_struct *task,
					      const struct tag *tag, const struct named *n,
					      struct filename *name, int dir, struct file *file)
{
	struct io_open *request = (void *)n->request;
	struct scratch *x = take_work();

	if (!x) {
		lose(s, CATEGORY_FILE);
		return;
	}
	record_begin(&x->record, tag, task, CATEGORY_FILE, KIND_OPENED);
	x->record.a = FIELD(io_open, request, how.flags);
	x->record.b = FIELD(io_open, request, how.mode) & 07777;
	x->record.flags = RECORD_FLAGS;
	if ((x->record.a & FLAG_CREAT) != 0)
		x->record.flags |= RECORD_MODE;
	if (is_error((__u64)file)) {
		const char *text = 0;

		set_result(x, (long)file);
		bpf_core_read(&text, sizeof(text), &name->name);
		if (text_kernel_string(x, TEXT_PATH, (__u64)text) != '/')
			text_base(x, task, TEXT_BASE, dir);
		emit_scratch(s, x);
	} else {
		if ((READ(file, file, f_mode) & FMODE_CREATED) != 0)
			x->record.kind = KIND_CREATED;
		text_file(x, TEXT_PATH, file);
		emit_scratch(s, x);
		track(s, x, task, file, 0);
	}
	give_back(x);
}

static __always_inline __u32 current_call(struct task_struct *task)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

	return BPF_CORE_READ(regs, orig_ax);
}

static __always_inline struct named *note_call(struct task_struct *task, __u32 kind)
{
	struct named *n = bpf_task_storage_get(&named, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!n)
		return 0;
	if (n->request == 0) {
		n->call = current_call(task);
		n->kind = kind;
	}
	return n;
}

SEC("fexit/do_filp_open")
int BPF_PROG(open_returned, int dir, struct filename *name, const struct open_flags *how,
	     struct file *returned)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *c = get_control();
	struct file *file;
	struct session *s;
	struct named *n;
	struct tag tag;

	if (c && (__u32)task->tgid == c->self)
		c->seen |= OWN_OPEN;
	s = session_of_worker(task, &tag);
	if (!s || !wants(s, CATEGORY_FILE))
		return 0;
	file = (void *)number_of(returned);
	n = bpf_task_storage_get(&named, task, 0, 0);
	if (n && n->request != 0) {
		if ((long)file != TRY_AGAIN || (how->lookup_flags & LOOKUP_NO_WAIT) == 0)
			opened_by_request(s, task, &tag, n, name, dir, file);
		return 0;
	}
	if (!is_error((__u64)file) || (how->open_flag & FLAG_EXECUTE) != 0)
		return 0;
	n = note_call(task, KIND_OPENED);
	if (n)
		note_string(n, 0, name, dir);
	return 0;
}

/* --- names ----------------------------------------------------------------------------------- */

static __always_inline void note_path(struct scratch *x, struct named *n, __u32 which,
				      struct dentry *dentry, struct vfsmount *mount)
{
	__u32 size;

	x->record.flags = 0;
	x->record.size = sizeof(x->record);
	x->record.text_sizes[TEXT_PATH] = 0;
	text_walk(x, TEXT_PATH, number_of(dentry), number_of(mount));
	size = x->record.text_sizes[TEXT_PATH];
	n->sizes[which] = 0;
	if (size == 0 || size > NAMED_TEXT || (x->record.flags & RECORD_UNROOTED) != 0)
		return;
	bpf_probe_read_kernel(n->text[which], size, x->text);
	n->sizes[which] = size;
	n->forms[which] = TEXT_WALK;
}

/* One name or two. What a symbolic link says is none. */
static __always_inline int on_names(__u32 kind, struct dentry *one, struct vfsmount *mount,
				    struct dentry *two, struct vfsmount *mount2)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct session *s;
	struct scratch *x;
	struct named *n;
	struct tag tag;

	s = session_of_worker(task, &tag);
	if (!s || !wants(s, CATEGORY_FILE))
		return 0;
	n = note_call(task, kind);
	x = n ? take_work() : 0;
	if (!n || !x)
		return 0; /* then the call's end takes what the process says */
	if (one)
		note_path(x, n, 0, one, mount);
	else if (n->request == 0)
		n->sizes[0] = 1; /* is no path */
	if (two)
		note_path(x, n, 1, two, mount2);
	give_back(x);
	return 0;
}

SEC("fentry/security_path_unlink")
int BPF_PROG(path_unlink, const struct path *dir, struct dentry *dentry)
{
	return on_names(KIND_UNLINKED, dentry, dir->mnt, 0, 0);
}

SEC("fentry/security_path_rmdir")
int BPF_PROG(path_rmdir, const struct path *dir, struct dentry *dentry)
{
	return on_names(KIND_RMDIR, dentry, dir->mnt, 0, 0);
}

SEC("fentry/security_path_mkdir")
int BPF_PROG(path_mkdir, const struct path *dir, struct dentry *dentry)
{
	return on_names(KIND_MKDIR, dentry, dir->mnt, 0, 0);
}

SEC("fentry/security_path_symlink")
int BPF_PROG(path_symlink, const struct path *dir, struct dentry *dentry)
{
	return on_names(KIND_SYMLINKED, 0, 0, dentry, dir->mnt);
}

SEC("fentry/security_path_link")
int BPF_PROG(path_link, struct dentry *old, const struct path *dir, struct dentry *dentry)
{
	return on_names(KIND_LINKED, old, dir->mnt, dentry, dir->mnt);
}

SEC("fentry/security_path_rename")
int BPF_PROG(path_rename, const struct path *old_dir, struct dentry *old, const struct path *dir,
	     struct dentry *dentry)
{
	return on_names(KIND_RENAMED, old, old_dir->mnt, dentry, dir->mnt);
}

/* --- the end of an open file ----------------------------------------------------------------- */

SEC("fentry/security_file_free")
int BPF_PROG(file_freed, struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *c = get_control();
	struct open_file *of;

	if (c && (__u32)task->tgid == c->self)
		c->seen |= OWN_CLOSE;
	of = find_file(number_of(file));
	if (of)
		end_file(of);
	return 0;
}
