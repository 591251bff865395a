/* SPDX-License-Identifier: Apache-2.0 */
/* ttywait.h - does a program wait for somebody to type?
 *
 * It does when a thread of a process of the terminal's foreground group sleeps in read, poll,
 * select or epoll on that terminal. Which call, and on what, is read from /proc/PID/syscall, the
 * process's own memory (process_vm_readv(2)) and /proc/PID/fdinfo: the caller must be allowed to
 * trace it, which under Yama's scope 1 only its ancestors are. Sources: proc(5), ptrace(2). */
#pragma once
#include <stdint.h>
#include <sys/types.h>

enum tty_wait {
	TTY_WAIT_NO,
	TTY_WAIT_YES,
	TTY_WAIT_UNKNOWN, /* the kernel does not say, or not to this caller */
};

/* Which process was in which group a moment ago: one walk over /proc serves the looks at many
 * terminals. Zeroed: nothing is known. */
struct tty_groups {
	struct tty_member *members;
	size_t n, room;
	uint64_t made_ms, cost_us; /* of the last walk: monotonic time, processor time */
};

void tty_groups_done(struct tty_groups *g);

/* `tty`: the slave's device number, st_rdev. `leaf` of `cgroup_dir` (cgroup.h; 0 for none) is where
 * the group's processes are. Without it, or when none of them is there, they are those of `groups`,
 * which is made anew when it does not know the group or is too old: a second at most, and less as
 * long as the walks take less than 0.2 percent of a processor. */
enum tty_wait tty_wait_look(struct tty_groups *groups, pid_t foreground, uint64_t tty,
			    int cgroup_dir, uint32_t leaf);
