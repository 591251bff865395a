/* SPDX-License-Identifier: Apache-2.0 */
/* entry.h - what a child does to itself before its execve, so that its system calls can be
 * observed: it installs a filter (seccomp(2)), which all that descends from it has too and nobody
 * can remove.
 *
 * A filter with the action SECCOMP_RET_USER_NOTIF has a listener, a descriptor on which the calls
 * are waiting to be answered. When the last copy of it is closed these calls fail with ENOSYS, so
 * it belongs to the one who lives longest. */
#pragma once
#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

#define ENTRY_CODE_MAX 512U

enum entry_flag {
	ENTRY_LISTENER = 1 << 0, /* makes a listener */
	/* Is installed when the gate is behind the child: calls that it makes there fail without a
	 * tracer (SECCOMP_RET_TRACE), and this is there from then on only. */
	ENTRY_BEHIND_GATE = 1 << 1,
};

struct entry {
	uint32_t n; /* instructions; 0: there is nothing to do */
	uint32_t flags;
	struct sock_filter code[ENTRY_CODE_MAX];
};

/* In the child; async-signal-safe, allocates nothing. A process without CAP_SYS_ADMIN becomes
 * no_new_privs by it. Returns the number of the listener (close-on-exec), 0 where none was asked
 * for, or a negative errno; -EBUSY: there is a listener already, because the caller is observed
 * itself. */
int entry_apply(const struct entry *e);

/* The same, unless it is for behind the gate, and tells the parent through `fd` what came of it: a
 * pipe or a socket. */
void entry_tell(const struct entry *e, int fd);

/* In the child, when it has passed the gate: what entry_tell() has left. Negative errno. */
int entry_after_gate(const struct entry *e);

/* In the parent: what entry_tell() says. The listener, close-on-exec; 0 where none was asked for;
 * or a negative errno, -ECHILD when the child ended before it. */
int entry_hear(pid_t pid, int fd);

/* A copy of descriptor `number` of the process, which must be the caller's child, or one it may
 * trace. Close-on-exec. Negative errno. */
int entry_fetch(int pidfd, int number);

/* Lets a call that was received from a listener go on. -ENOENT: its process is gone. */
int entry_pass(int listener, uint64_t id);

/* The same for the next that waits; poll(2) has said that there is one. -ENOENT: not any more. */
int entry_pass_next(int listener);
