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

/* `tty`: the slave's device number, st_rdev. `leaf` of `cgroup_dir` (cgroup.h; 0 for none) is where
 * the group's processes are; without it, or when the group's leader is elsewhere, all processes are
 * gone through to find them. */
enum tty_wait tty_wait_look(pid_t foreground, uint64_t tty, int cgroup_dir, uint32_t leaf);
