/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* kernel.h - the few members of kernel structures that are read. The loader finds where they are in
 * the running kernel; `___x` names a form that only some kernels have. */
#pragma once

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	long counter;
} atomic_long_t;

typedef struct {
	unsigned int val;
} kuid_t, kgid_t;

typedef struct {
	unsigned long long val; /* two words before 6.3, the bits are the same */
} kernel_cap_t;

struct user_namespace {
	struct user_namespace *parent;
	int level;
	kuid_t owner;
};

struct cred {
	kuid_t uid, suid, euid;
	kgid_t gid, sgid, egid;
	kernel_cap_t cap_permitted;
	struct user_namespace *user_ns;
};

struct qstr {
	unsigned int len;
	const unsigned char *name;
};

struct inode {
	unsigned short i_mode;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	void *private_data;
	struct inode *f_inode;
	const struct cred *f_cred;
	struct path f_path;
};

struct file___count { /* until 6.12 */
	atomic_long_t f_count;
};

typedef struct {
	atomic_long_t refcnt;
} file_ref_t___new;

struct file___ref { /* from 6.13 */
	file_ref_t___new f_ref;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path pwd;
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct thread_info {
	unsigned int status;
};

struct mm_struct {
	unsigned long arg_start, arg_end;
};

struct mm_struct___word { /* until 6.17 */
	unsigned long flags;
};

typedef struct {
	unsigned long __mm_flags[1];
} mm_flags_t;

struct mm_struct___bits { /* from 6.18 */
	mm_flags_t flags;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
	unsigned long long utime, stime;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	struct mm_struct *mm;
	const struct cred *real_cred;
	int exit_code;
	int pid, tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	unsigned long long utime, stime;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
	unsigned long long start_time;
	void *bpf_storage;
};

struct linux_binprm {
	struct file *file;
};

struct pt_regs {
	unsigned long r10, r9, r8, dx, si, di, orig_ax, bx, cx, bp;
};

struct in6_addr {
	unsigned char in6_u[16];
};

struct sock_common {
	unsigned int skc_daddr, skc_rcv_saddr;
	unsigned short skc_dport, skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	unsigned short sk_protocol;
	int sk_err;
};

struct inet_sock {
	unsigned short inet_sport;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct socket {
	short type;
	struct sock *sk;
};

struct io_cqe {
	int res;
};

struct io_kiocb {
	unsigned char opcode;
	struct io_cqe cqe;
};

struct filename {
	const char *name;
};

struct open_flags {
	int open_flag, lookup_flags;
};

/* What io_kiocb begins with, by opcode. */
struct open_how {
	unsigned long long flags, mode;
};

struct io_open {
	int dfd;
	struct filename *filename;
	struct open_how how;
};

struct io_unlink {
	int dfd, flags;
	struct filename *filename;
};

struct io_mkdir {
	int dfd;
	unsigned short mode;
	struct filename *filename;
};

struct io_rename {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
};

struct io_link {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
};

#pragma clang attribute pop
