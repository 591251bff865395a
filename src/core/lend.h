/* SPDX-License-Identifier: Apache-2.0 */
/* lend.h - what of a process its ancestors may have, and its siblings may not, where
 * kernel.yama.ptrace_scope is 1. It is asked for when it is opened, not when it is used: so an
 * ancestor can open it, and give the descriptor to a sibling. Neither waits for a process one of
 * whose threads is held up in a call: no other thread's execve can go so far before that has ended
 * (mm_access() in kernel/fork.c, de_thread() in fs/exec.c). */
#pragma once
#include <sys/types.h>

/* The memory of the program that thread `tid` runs, to be read. Close-on-exec. Negative errno. */
int lend_memory(pid_t tid);

/* A copy of descriptor `number` of the process. Close-on-exec. Negative errno. */
int lend_descriptor(pid_t pid, int number);
