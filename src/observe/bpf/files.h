/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* files.h - open files and sockets from their beginning to their end, and calls that name files. */
#pragma once
#include "calls.h"
#include "table.h"

#define FMODE_CREATED 0x100000
#define MODE_SOCKET   0140000
#define MODE_FORMAT   0170000
#define FLAG_CREAT    0100
#define AT_REMOVE_DIR 0x200
#define AT_CWD        (-100)
#define PROTECT_EXEC  4
#define MAP_NO_FILE   0x20

/* Whether nobody has the file open any more, or the structure serves another: another process has
 * other credentials, even when it has opened the same file. */
static __always_inline bool file_is_gone(struct file *file, const struct open_file *of)
{
	long refs;

	if (bpf_core_field_exists(struct file___ref, f_ref)) {
		refs = READ(file___ref, file, f_ref.refcnt.counter);
		if (refs < 0)
			return true;
	} else {
		refs = READ(file___count, file, f_count.counter);
		if (refs <= 0)
			return true;
	}
	return (__u64)READ(file, file, f_inode) != of->inode ||
	       (__u64)READ(file, file, f_cred) != of->cred ||
	       (__u64)READ(file, file, f_path.dentry) != of->dentry;
}

static __always_inline void emit_open_file(struct open_file *of, __u32 kind)
{
	struct tag tag = { of->record.session, of->record.generation };
	struct session *s = session_of_tag(&tag);

	if (!s)
		return;
	of->record.time = bpf_ktime_get_ns();
	of->record.kind = kind;
	emit(s, &of->record, of->record.size, sizeof(of->record) + FILE_TEXT);
}

/* Tells of the end of a file. Of several who see it one does. */
static __always_inline void end_file(struct open_file *of)
{
	if (__sync_val_compare_and_swap(&of->live, 1, 0) != 1)
		return;
	emit_open_file(of, KIND_CLOSED);
	free_file(of->place);
}

/* The record in `x`, whose texts describe the file, becomes what tells of its end. */
static __always_inline void track(struct session *s, struct scratch *x, struct task_struct *task,
				  struct file *file, __u32 fd)
{
	struct open_file *of;
	__u64 key = (__u64)file;
	__u32 n = text_begin(x);

	of = find_file(key);
	if (of)
		end_file(of); /* it was closed unseen */
	of = new_file(key);
	if (!of) {
		lose(s, x->record.category);
		return;
	}
	if (n > FILE_TEXT) {
		/* Too long to be kept: the end is told without it. */
		n = 0;
		x->record.size = sizeof(x->record);
		x->record.flags |= RECORD_CUT;
		__builtin_memset(x->record.text_sizes, 0, sizeof(x->record.text_sizes));
	}
	x->record.flags =
		(x->record.flags & (RECORD_CUT | RECORD_UNROOTED | RECORD_SOCKET)) | RECORD_TOTALS;
	x->record.result = 0;
	__builtin_memset(x->record.totals, 0, sizeof(x->record.totals));
	__builtin_memcpy(&of->record, &x->record, sizeof(of->record));
	barrier_var(n);
	if (n > FILE_TEXT)
		n = FILE_TEXT;
	bpf_probe_read_kernel(of->text, n, x->text);
	of->reported = 0;
	of->inode = (__u64)READ(file, file, f_inode);
	of->dentry = (__u64)READ(file, file, f_path.dentry);
	of->cred = (__u64)READ(file, file, f_cred);
	of->live = 1;
	if (!kernel_has.functions)
		remember_descriptor(task, fd, key);
}

/* One read or write of `n` bytes, counted; told of when each is wanted. */
static __always_inline void count(struct session *s, struct scratch *x, struct file *file, __u64 n,
				  bool write)
{
	__u64 key = (__u64)file;
	struct open_file *of = find_file(key);

	if (!of)
		return;
	/* What is opened anew is tracked anew; only a pipe and its like are not. */
	if ((__u64)READ(file, file, f_inode) != of->inode) {
		end_file(of);
		return;
	}
	__sync_fetch_and_add(&of->record.totals[write ? 1 : 0], n);
	__sync_fetch_and_add(&of->record.totals[write ? 3 : 2], 1);
	if (s->each == 0)
		return;
	bpf_probe_read_kernel(&x->record, sizeof(x->record) + FILE_TEXT, &of->record);
	x->record.time = bpf_ktime_get_ns();
	if (of->record.category == CATEGORY_NETWORK)
		x->record.kind = write ? KIND_SENT : KIND_RECEIVED;
	else
		x->record.kind = write ? KIND_WRITTEN : KIND_READ;
	__builtin_memset(x->record.totals, 0, sizeof(x->record.totals));
	x->record.totals[write ? 1 : 0] = n;
	x->record.totals[write ? 3 : 2] = 1;
	emit_scratch(s, x);
}

/* close(2) has ended, and with it perhaps the file. */
static __always_inline void closed(struct task_struct *task, __u32 fd)
{
	struct open_file *of;
	struct reader *r;
	__u64 key;

	if (kernel_has.functions)
		return; /* the file's own end tells it */
	key = take_descriptor(task, fd);
	of = key != 0 ? find_file(key) : 0;
	if (of && file_is_gone((struct file *)key, of)) {
		end_file(of);
		return;
	}
	r = get_reader();
	if (r)
		r->gone++;
}

/* --- calls ----------------------------------------------------------------------------------- */

static __always_inline __u64 arg(const struct scratch *x, __u32 number)
{
	return number == 0 ? 0 : x->args[(number - 1) & 7];
}

/* Where a relative path starts from. */
static __always_inline void text_base(struct scratch *x, struct task_struct *task, __u32 base,
				      int dir)
{
	struct file *file;

	if (dir == AT_CWD) {
		text_cwd(x, base, task);
		return;
	}
	file = file_of(task, (__u32)dir);
	if (file)
		text_file(x, base, file);
}

static __always_inline int dir_of(const struct scratch *x, __u32 dir)
{
	return dir == 0 ? AT_CWD : (int)arg(x, dir);
}

/* A path that the process gave, and where it starts from when it is relative. */
static __always_inline void text_given(struct scratch *x, struct task_struct *task, __u32 index,
				       __u32 base, __u32 path, __u32 dir)
{
	if (text_string(x, index, arg(x, path)) != '/')
		text_base(x, task, base, dir_of(x, dir));
}

/* A name that a function of the kernel had. Returns its first byte; 0 when there is none. */
static __noinline int text_named(struct scratch *x, __u32 index, struct named *n, __u32 which)
{
	__u32 at = text_begin(x), size;

	if (!n)
		return 0;
	which &= NAMED - 1;
	size = n->sizes[which];
	if (size == 0 || size > NAMED_TEXT || at > TEXT_ROOM - TEXT_MAX)
		return 0;
	bpf_probe_read_kernel(x->text + at, size, n->text[which]);
	text_end(x, index, n->forms[which], size);
	return x->text[at];
}

/* What was named in the call that ends now, if that was of this kind; it is used once. */
static __always_inline struct named *take_named(struct scratch *x, struct task_struct *task,
						struct pt_regs *regs)
{
	struct named *n;
	__u32 kind;

	if (!kernel_has.functions)
		return 0;
	n = bpf_task_storage_get(&named, task, 0, 0);
	if (!n || n->request != 0)
		return 0;
	kind = n->kind;
	n->kind = 0;
	return kind == x->record.kind && n->call == (__u32)regs->orig_ax ? n : 0;
}

static __always_inline void set_result(struct scratch *x, long result)
{
	if (result >= 0)
		return;
	x->record.result = result;
	x->record.flags |= RECORD_RESULT;
}

static __always_inline void opened(struct session *s, struct scratch *x, struct task_struct *task,
				   const struct tag *tag, const struct call *call,
				   struct pt_regs *regs, long result)
{
	__u64 how[2] = { 0 };
	struct file *file = 0;
	int first;

	record_begin(&x->record, tag, task, CATEGORY_FILE, KIND_OPENED);
	x->record.a = arg(x, call->flags);
	x->record.b = arg(x, call->mode) & 07777;
	if (call->op == OP_OPENAT2) {
		bpf_probe_read_user(how, sizeof(how), (void *)arg(x, call->flags));
		x->record.a = how[0];
		x->record.b = how[1];
	} else if (call->op == OP_CREAT) {
		x->record.a = 01101;
	}
	x->record.flags = RECORD_FLAGS;
	if ((x->record.a & FLAG_CREAT) != 0)
		x->record.flags |= RECORD_MODE;
	set_result(x, result);
	if (result >= 0)
		file = file_of(task, result);
	if (!file) {
		first = text_named(x, TEXT_PATH, take_named(x, task, regs), 0);
		if (first == 0)
			first = text_string(x, TEXT_PATH, arg(x, call->path));
		if (first != '/')
			text_base(x, task, TEXT_BASE, dir_of(x, call->dir));
		emit_scratch(s, x);
		return;
	}
	if ((READ(file, file, f_mode) & FMODE_CREATED) != 0)
		x->record.kind = KIND_CREATED;
	text_file(x, TEXT_PATH, file);
	emit_scratch(s, x);
	track(s, x, task, file, result);
}

static const __u8 kinds[] = {
	[OP_RENAME] = KIND_RENAMED,     [OP_UNLINK] = KIND_UNLINKED,
	[OP_UNLINKAT] = KIND_UNLINKED,  [OP_RMDIR] = KIND_RMDIR,
	[OP_MKDIR] = KIND_MKDIR,        [OP_MKNOD] = KIND_CREATED,
	[OP_LINK] = KIND_LINKED,        [OP_SYMLINK] = KIND_SYMLINKED,
	[OP_TRUNCATE] = KIND_TRUNCATED, [OP_FTRUNCATE] = KIND_TRUNCATED,
	[OP_CHMOD] = KIND_CHMOD,        [OP_FCHMOD] = KIND_CHMOD,
	[OP_CHOWN] = KIND_CHOWN,        [OP_FCHOWN] = KIND_CHOWN,
	[OP_MMAP] = KIND_MAPPED,
};

static __always_inline void describe_change(struct scratch *x, const struct call *call)
{
	switch (call->op) {
	case OP_MKDIR:
	case OP_MKNOD:
	case OP_CHMOD:
	case OP_FCHMOD:
		x->record.b = arg(x, call->mode) & 07777;
		x->record.flags |= RECORD_MODE;
		break;
	case OP_CHOWN:
	case OP_FCHOWN:
		x->record.a = arg(x, call->flags);
		x->record.b = arg(x, call->mode);
		x->record.flags |= RECORD_OWNER;
		break;
	case OP_TRUNCATE:
	case OP_FTRUNCATE:
		x->record.totals[0] = arg(x, call->mode);
		x->record.flags |= RECORD_SIZE;
		break;
	case OP_UNLINKAT:
		if ((arg(x, call->flags) & AT_REMOVE_DIR) != 0)
			x->record.kind = KIND_RMDIR;
		break;
	default:
		break;
	}
}

/* What was changed by name, as the kernel knew it. False when that is not known. */
static __always_inline bool text_known(struct scratch *x, struct named *n, const struct call *call)
{
	if (!n || n->sizes[0] == 0 || (call->path2 != 0 && n->sizes[1] == 0))
		return false;
	if (call->op == OP_SYMLINK)
		text_string(x, TEXT_PATH, arg(x, call->path));
	else
		text_named(x, TEXT_PATH, n, 0);
	if (call->path2 != 0)
		text_named(x, TEXT_PATH2, n, 1);
	return true;
}

/* A call that changes something by name, or by descriptor. */
static __always_inline void changed(struct session *s, struct scratch *x, struct task_struct *task,
				    const struct tag *tag, const struct call *call,
				    struct pt_regs *regs, long result)
{
	struct file *file = call->fd != 0 ? file_of(task, (__u32)arg(x, call->fd)) : 0;

	if (call->fd != 0 && !file)
		return;
	record_begin(&x->record, tag, task, CATEGORY_FILE,
		     call->op < sizeof(kinds) ? kinds[call->op] : 0);
	describe_change(x, call);
	set_result(x, result);
	if (file) {
		text_file(x, TEXT_PATH, file);
	} else if (text_known(x, take_named(x, task, regs), call)) {
		; /* it is told */
	} else if (call->op == OP_SYMLINK) {
		text_string(x, TEXT_PATH, arg(x, call->path));
		text_given(x, task, TEXT_PATH2, TEXT_BASE2, call->path2, call->dir2);
	} else {
		text_given(x, task, TEXT_PATH, TEXT_BASE, call->path, call->dir);
		if (call->path2 != 0)
			text_given(x, task, TEXT_PATH2, TEXT_BASE2, call->path2, call->dir2);
	}
	emit_scratch(s, x);
}
