/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/notify_probe.h"
#include "base/fd.h"
#include "core/lend.h"
#include "observe/call_decode.h"
#include "observe/surroundings.h"
#include "observe/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCOPE_FILE "/proc/sys/kernel/yama/ptrace_scope"
#define WORD       0x7265657665ULL

/* Runs `fn` in a child; returns its result, below 256, or 255 when it did not come to that. The
 * result comes through a pipe: how the child ended may be nobody's to learn (SIGCHLD is ignored),
 * or has been taken by a handler or a thread that reaps all. */
static int in_child(int (*fn)(int32_t), int32_t argument)
{
	unsigned char result = 255;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return 255;
	pid = fork();
	if (pid == 0) {
		result = (unsigned char)fn(argument);
		_exit(write(ends[1], &result, 1) != 1);
	}
	fd_close(ends[1]);
	while (read(ends[0], &result, 1) < 0 && errno == EINTR)
		;
	fd_close(ends[0]);
	if (pid > 0)
		trial_reap(pid);
	return result;
}

static const uint64_t word = WORD;

/* A child of ours has the same memory at the same place. */
static int read_sibling(int32_t pid)
{
	uint64_t seen = 0;

	return call_memory(pid, (uint64_t)(uintptr_t)&word, &seen, sizeof(seen)) ==
				       (ssize_t)sizeof(seen) &&
			       seen == WORD
		       ? 0
		       : 1;
}

/* In a process that is no ancestor of the other: uses what comes over the socket. */
static int use_lent(int32_t sock)
{
	uint64_t seen = 0;
	int fds[2], domain = 0;
	socklen_t size = sizeof(domain);
	size_t n = 0;
	char byte;

	if (fd_recv(sock, &byte, 1, fds, 2, &n) != 1 || n != 2)
		return 1;
	return pread(fds[0], &seen, sizeof(seen), (off_t)(uintptr_t)&word) == sizeof(seen) &&
			       seen == WORD &&
			       getsockopt(fds[1], SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
			       domain == AF_UNIX
		       ? 0
		       : 1;
}

/* What the keeper does for the engine (core/lend.h), this process for another; and what a process
 * does that observes its own children. */
static int lend(int32_t pid, const int pair[2])
{
	int fds[2] = { lend_memory(pid), lend_descriptor(pid, pair[0]) }, r = 255;

	if (read_sibling(pid) == 0 && fds[0] >= 0 && fds[1] >= 0 &&
	    fd_send(pair[1], "", 1, fds, 2) >= 0)
		r = in_child(use_lent, pair[0]);
	fd_close(fds[0]);
	fd_close(fds[1]);
	return r;
}

/* The engine is no ancestor of the processes it observes, and must be tried as one that is none. */
static int let_sibling_read(int32_t pid, const int pair[2] _unused_)
{
	return in_child(read_sibling, pid);
}

/* Runs `fn` while a child of ours waits. */
static bool with_child(int (*fn)(int32_t pid, const int pair[2]))
{
	char byte;
	int pair[2], gate[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	if (pipe2(gate, O_CLOEXEC) < 0) {
		fd_close(pair[0]);
		fd_close(pair[1]);
		return false;
	}
	pid = fork();
	if (pid == 0) {
		(void)close(gate[1]);
		_exit((int)read(gate[0], &byte, 1));
	}
	fd_close(gate[0]);
	r = pid > 0 ? fn((int32_t)pid, pair) : 255;
	fd_close(gate[1]);
	fd_close(pair[0]);
	fd_close(pair[1]);
	if (pid > 0)
		trial_reap(pid);
	return r == 0;
}

/* Whether a process that installs a filter stays able to gain privileges. */
static int keeps_privileges(int32_t argument _unused_)
{
	struct entry e;

	calls_filter(0, 0, &e);
	return entry_apply(&e) >= 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : 1;
}

static void refuse_reading(struct backend_support ret[REEVE_CATEGORIES], unsigned categories)
{
	int scope = sysctl_number(SCOPE_FILE, 0);

	if (scope > 0) {
		support_set(ret, categories, REEVE_UNAVAILABLE,
			    "kernel.yama.ptrace_scope is %d: `sudo sysctl "
			    "kernel.yama.ptrace_scope=0` %s",
			    scope,
			    scope < 3 ? "or CAP_SYS_PTRACE allows it to read paths"
				      : "is possible after a reboot only");
		return;
	}
	support_set(ret, categories, REEVE_UNAVAILABLE,
		    "the memory of another process of this user cannot be read (process_vm_readv): "
		    "a security module or a container's filter refuses it");
}

/* Behind the reasons of what it can. */
static void add_text(struct backend_support ret[REEVE_CATEGORIES], unsigned categories,
		     const char *text)
{
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		size_t n = strlen(ret[c].reason);

		if ((categories & category_bit((enum reeve_category)c)) != 0 &&
		    ret[c].support == REEVE_PARTIAL)
			(void)snprintf(ret[c].reason + n, sizeof(ret[c].reason) - n, "%s", text);
	}
}

static const struct {
	enum reeve_category category;
	uint64_t kinds;
	const char *reason;
} trials[] = {
	{ REEVE_FILE, KIND_BIT(REEVE_OPENED),
	  "calls as they are made: paths as claimed, no results, no bytes, no closing or mapping; "
	  "nothing done through io_uring" },
	{ REEVE_NETWORK, KIND_BIT(REEVE_CONNECTED),
	  "destinations as they are asked for: no results, no accepted connections, no bytes; "
	  "nothing done through io_uring" },
	{ REEVE_PROCESS, KIND_BIT(REEVE_EXECUTED) | KIND_BIT(REEVE_FORKED) | KIND_BIT(REEVE_EXITED),
	  "executions as they are asked for, failed ones too, paths as claimed; forks and exits "
	  "without exit codes" },
};

void notify_probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	const struct backend *b = &backend_seccomp_user_notify;
	bool lent;

	if (scope != REEVE_LAUNCHED_TREE) {
		support_set(ret, b->categories, REEVE_UNAVAILABLE,
			    "sees only commands that were started to be observed");
		return;
	}
	lent = host_only_lends() || !with_child(let_sibling_read);
	if (lent && !with_child(lend)) {
		refuse_reading(ret, b->categories);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++) {
		trial_probe(b, scope, cgroup_dir, category_bit(trials[i].category), trials[i].kinds,
			    REEVE_PARTIAL, trials[i].reason, ret);
		if (i == 0 && ret[trials[i].category].support == REEVE_UNAVAILABLE) {
			support_set(ret, b->categories, REEVE_UNAVAILABLE, "%s",
				    ret[trials[i].category].reason);
			return;
		}
	}
	if (lent)
		add_text(ret, b->categories, "; reads memory by way of an ancestor of the command");
	if (in_child(keeps_privileges, 0) != 0)
		add_text(ret, b->categories, "; sets no_new_privs, so sudo fails inside");
}
