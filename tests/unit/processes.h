/* SPDX-License-Identifier: Apache-2.0 */
/* processes.h - for tests that need real processes: making marked ones, waiting for conditions. */
#pragma once
#include "base/cleanup.h"
#include "core/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000
#define NOBODY      65534

/* Waits for a condition, and fails the test when it does not come true. */
#define wait_until(condition)                                                                      \
	do {                                                                                       \
		bool _true = false;                                                                \
		for (int _ms = 0; !(_true = (condition)) && _ms < PATIENCE_MS; _ms++)              \
			pause_ms(1);                                                               \
		assert_true(_true);                                                                \
	} while (0)

static inline void pause_ms(long ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000L };

	nanosleep(&t, NULL);
}

/* Memory that a test and its children share: who they are, and how many are ready. */
struct shared {
	_Atomic unsigned ready;
	_Atomic pid_t pids[64];
};

static inline struct shared *shared_new(void)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* Enters the caller into the list. */
static inline void report(struct shared *s)
{
	unsigned i = atomic_fetch_add(&s->ready, 1);

	s->pids[i] = getpid();
}

/* A number below the caller's hard limit, so that an ordinary user can set it in a marked shell. */
static inline uint64_t new_mark(void)
{
	static uint64_t last;
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (last == 0)
		last = (uint64_t)t.tv_sec << 20 | (uint64_t)(getpid() & 0xfff) << 8;
	return ++last;
}

static inline void set_mark(uint64_t mark)
{
	struct rlimit limit = { mark, mark };

	if (mark != 0 && setrlimit(RLIMIT_LOCKS, &limit) < 0)
		_exit(99);
}

/* A child that bears `mark` (0: the caller's) and runs `role`, which does not return to the test.
 */
static inline pid_t start(uint64_t mark, void (*role)(struct shared *), struct shared *s)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		set_mark(mark);
		role(s);
		_exit(0);
	}
	return pid;
}

static inline void role_wait(struct shared *s)
{
	report(s);
	for (;;)
		pause();
}

static inline void role_exit(struct shared *s)
{
	report(s);
}

static inline char state_of(pid_t pid)
{
	struct proc_stat s;

	return proc_stat_read(pid, &s) < 0 ? '-' : s.state;
}

/* Ends a child of the test and forgets it. */
static inline void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Runs `fn` in a child, as another user when `uid` is not 0; its result is the exit code. */
static inline int in_child(uid_t uid, int (*fn)(void *), void *userdata)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (uid != 0 && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
			_exit(98);
		_exit(fn(userdata));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}
