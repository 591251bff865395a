/* SPDX-License-Identifier: Apache-2.0 */
/* proc.h - what the kernel tells about a process, read without allocating.
 *
 * Everything here is about a pid, which the kernel may give to another process as soon as its owner
 * was reaped. To act on a process, open a pidfd first, read then, and act on the pidfd: while the
 * pidfd still works, what was read was about the same process. Sources: proc(5) (the parts
 * /proc/pid/stat, /proc/pid/limits, /proc/pid/cmdline, /proc/tid/children), prlimit(2). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_COMM_MAX    64U /* kernel threads have names of up to 63 bytes, the others 15 */
#define PROC_ENVIRON_MAX (8U * 1024U * 1024U)
#define PROC_EXITING     0x4U      /* flags: its first thread has begun to end */
#define PROC_FORKNOEXEC  0x40U     /* flags: has not exec'd since it was forked */
#define PROC_KTHREAD     0x200000U /* flags: a thread of the kernel */

struct proc_stat {
	pid_t pid, ppid, pgid, session;
	int tty;          /* device number of the controlling terminal, 0 for none */
	pid_t foreground; /* foreground group of that terminal, -1 for none */
	unsigned flags;   /* PF_* of include/linux/sched.h */
	unsigned threads; /* those that live, and a first thread that has ended before them */
	uint64_t start;   /* clock ticks after boot (field 22); with the pid it names a process */
	uint64_t
		pending; /* signals of its first thread (field 31), a bit each, SIGHUP the lowest */
	int status;      /* wait status (field 52); 0 unless dead or stopped, and see exitinfo.h */
	char state;      /* R S D T t Z X I */
	bool no_arguments; /* none are set up (field 49), and field 26 says that we may know */
	char comm[PROC_COMM_MAX];
};

/* The fields of /proc/PID/stat. -ESRCH when there is no such process. */
int proc_stat_read(pid_t pid, struct proc_stat *ret);

/* Whether nothing of the process runs any more. A first thread that has ended while others go on
 * shows state Z too, but the process is as alive as before. */
bool proc_stat_dead(const struct proc_stat *s);

/* Whether it is dead or on its way there: no signal changes any more how it ends. The kernel makes
 * SIGKILL pending in each thread when it accepts any signal that ends the process
 * (complete_signal() in kernel/signal.c). So it does to the other threads of one that calls execve:
 * look again. */
bool proc_stat_exiting(const struct proc_stat *s);

/* Whether it is in the middle of an execve: it has its new name and not yet its arguments, and
 * /proc/PID/cmdline is empty. They come last (create_elf_tables() in fs/binfmt_elf.c). False where
 * we may not trace the process: nobody can tell. */
bool proc_stat_execing(const struct proc_stat *s);

/* The mark: the hard RLIMIT_LOCKS, 0 when unlimited. The hard limit can only be lowered without
 * CAP_SYS_RESOURCE; the soft one means nothing. One prlimit(2) where the caller has the target's
 * user and group ids, else /proc/PID/limits, which anyone may read. Zombies still have it. -ESRCH
 * when there is no such process. */
int proc_mark(pid_t pid, uint64_t *ret);

/* Copies argv, each argument with its NUL, as far as it fits. Returns 1 when it was cut, 0 when
 * not. `*ret_length` is 0 for zombies and threads of the kernel. -ESRCH, -EACCES. */
int proc_cmdline(pid_t pid, char *buffer, size_t size, size_t *ret_length);

/* The same of a process that may be in the middle of an execve, when it has none: looks again until
 * they are there, for at most 0.1 s. */
int proc_arguments(pid_t pid, char *buffer, size_t size, size_t *ret_length);

/* Copies the value of a variable in the environment that the process was started with, unless it
 * has overwritten that. -ENOENT when it is not there, or longer than fits; -ENODATA when there is
 * none at all, as at the end, and for a moment in every execve; -ESRCH; -EACCES, which an ordinary
 * user is told at the end, too.
 * Reads at most PROC_ENVIRON_MAX bytes; waits while another thread changes the target's mappings.
 * Sources: environ_read() in fs/proc/base.c, exit_mm() in kernel/exit.c. */
int proc_environ_get(pid_t pid, const char *name, char *to, size_t size);

/* The pid given out last in this pid namespace (loadavg, field 5). A second reading that is lower
 * tells that the numbers have started anew in between. */
int proc_last_pid(pid_t *ret);

/* Called for one pid; anything but 0 ends the walk and is its result. */
typedef int (*proc_fn)(pid_t pid, void *userdata);

/* Every process that /proc shows, in ascending order (proc_pid_readdir() in fs/proc/base.c). Few
 * names are fetched at a time, so that `fn` hears of a pid within microseconds of its being seen:
 * a process that forks and exits all the time is met, not missed. One that is born during the walk
 * is seen when its pid lies ahead, as it does until the numbers start anew. */
int proc_each(proc_fn fn, void *userdata);

/* The children of all threads of a process, zombies included. Exact while no child comes or is
 * reaped during the call. -EOPNOTSUPP when the kernel was built without CONFIG_PROC_CHILDREN: use
 * proc_each() and compare ppid. */
int proc_each_child_of(pid_t parent, proc_fn fn, void *userdata);
int proc_each_child(proc_fn fn, void *userdata); /* the caller's */

/* The decimal pids separated by white space in a file of /proc or of a cgroup, from its current
 * position to its end. 0 stands for a process of another pid namespace and is skipped. */
int proc_read_pids(int fd, proc_fn fn, void *userdata);
