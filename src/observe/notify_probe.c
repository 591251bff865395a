/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/notify_probe.h"
#include "base/fd.h"
#include "observe/call_decode.h"
#include "observe/surroundings.h"
#include "observe/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SCOPE_FILE "/proc/sys/kernel/yama/ptrace_scope"
#define WORD       0x7265657665ULL

/* Runs `fn` in a child; its result is the exit code, 255 when it did not come to that. */
static int in_child(int (*fn)(int32_t), int32_t argument)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn(argument));
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return 255;
	return WEXITSTATUS(status);
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

/* The engine is no ancestor of the processes it observes, and must be tried as one that is none. */
static bool sibling_can_read(void)
{
	char byte;
	int gate[2], r;
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		(void)close(gate[1]);
		_exit((int)read(gate[0], &byte, 1));
	}
	fd_close(gate[0]);
	r = pid > 0 ? in_child(read_sibling, (int32_t)pid) : 255;
	fd_close(gate[1]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
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

static void add_privileges(struct backend_support ret[REEVE_CATEGORIES], unsigned categories)
{
	static const char text[] = "; sets no_new_privs, so sudo fails inside";

	if (in_child(keeps_privileges, 0) == 0)
		return;
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

	if (scope != REEVE_LAUNCHED_TREE) {
		support_set(ret, b->categories, REEVE_UNAVAILABLE,
			    "sees only commands that were started to be observed");
		return;
	}
	if (!sibling_can_read()) {
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
	add_privileges(ret, b->categories);
}
