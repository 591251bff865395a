/* SPDX-License-Identifier: Apache-2.0 */
/* families.h - processes that are hard to keep together. What forks all the time ends by itself
 * soon after the test program, so that one that slipped away does no harm. */
#pragma once
#include "processes.h"
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#define SECONDS_MAX 120

static pid_t test_pid;
static time_t test_end;

/* Takes in all that has ended below this process, which is the subreaper. */
static inline void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* What forks all the time leaves thousands of dead in a second. Each is looked at with every step
 * against the living: they are taken in meanwhile, or they would use up all pids of the machine. */
struct undertaker {
	pthread_t thread;
	atomic_bool over;
};

static inline void *bury(void *userdata)
{
	struct undertaker *u = userdata;

	while (!u->over) {
		reap();
		pause_ms(1);
	}
	return NULL;
}

static inline void undertaker_start(struct undertaker *u)
{
	u->over = false;
	assert_int_equal(pthread_create(&u->thread, NULL, bury, u), 0);
}

static inline void undertaker_end(struct undertaker *u)
{
	u->over = true;
	pthread_join(u->thread, NULL);
}

/* Six kinds of descendant. */

static inline void child_waits(struct shared *s)
{
	if (fork() == 0)
		role_wait(s);
}

static inline void child_in_own_session(struct shared *s)
{
	if (fork() == 0) {
		setsid();
		role_wait(s);
	}
}

static inline void child_forks_twice(struct shared *s)
{
	if (fork() == 0) {
		setsid();
		if (fork() == 0)
			role_wait(s);
		_exit(0);
	}
	wait(NULL);
}

static inline void child_is_disowned(struct shared *s)
{
	if (fork() == 0) {
		report(s);
		execlp("env", "env", "-i", "/bin/sh", "-c",
		       "(trap '' HUP; exec sleep 1000) & exit 0", NULL);
	}
	wait(NULL);
}

static inline void child_ignores_term(struct shared *s)
{
	if (fork() == 0) {
		signal(SIGTERM, SIG_IGN);
		role_wait(s);
	}
}

/* What forks all the time must not outlive a test that failed. */
static inline bool test_goes_on(void)
{
	return getpgid(test_pid) >= 0 && time(NULL) < test_end;
}

/* Has a new pid all the time. */
static inline void child_keeps_forking(struct shared *s)
{
	if (fork() == 0) {
		setsid();
		report(s);
		while (test_goes_on()) {
			if (fork() > 0)
				_exit(0);
		}
		_exit(0);
	}
}

static inline void role_all_kinds(struct shared *s)
{
	child_waits(s);
	child_in_own_session(s);
	child_forks_twice(s);
	child_is_disowned(s);
	child_ignores_term(s);
	child_keeps_forking(s);
	role_wait(s);
}

#define N_KINDS 7U /* the first process is one too */

/* Two that watch each other; each makes another when its fellow has died. */
static inline void hydra(struct shared *s)
{
	pid_t mate = 0, parent;

	while (test_goes_on()) {
		if (mate > 0 && waitpid(mate, NULL, WNOHANG) == 0)
			continue;
		parent = getpid();
		mate = fork();
		if (mate != 0)
			continue;
		atomic_fetch_add(&s->ready, 1);
		while (getppid() == parent)
			;
	}
	_exit(0);
}

static inline void role_hydras(struct shared *s)
{
	child_keeps_forking(s);
	child_keeps_forking(s);
	if (fork() == 0)
		hydra(s);
	hydra(s);
}

/* Has children with another mark, and replaces each at once when it dies. */
static inline void role_replaces_its_children(struct shared *s)
{
	struct rlimit limit = { 5, 5 };
	int i;

	for (i = 0; i < 40 && test_goes_on(); i++) {
		if (i >= 30)
			wait(NULL);
		if (fork() == 0) {
			setrlimit(RLIMIT_LOCKS, &limit);
			report(s);
			while (getpgid(test_pid) >= 0)
				pause_ms(100);
			_exit(0);
		}
	}
	role_wait(s);
}

static inline void role_first_thread_ends(struct shared *s)
{
	char *stack = malloc(64 * KiB);

	/* Not a thread of the library: it would wait for the first one's end. */
	if (clone((int (*)(void *))(void *)role_wait, stack + 64 * KiB,
		  CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, s) < 0)
		_exit(96);
	syscall(SYS_exit, 0);
}

static inline void role_child_with_another_mark(struct shared *s)
{
	struct rlimit limit = { 5, 5 };

	if (fork() == 0) {
		setrlimit(RLIMIT_LOCKS, &limit);
		if (fork() == 0)
			role_wait(s);
		role_wait(s);
	}
	role_wait(s);
}

static inline void role_reaps_a_child_with_another_mark(struct shared *s)
{
	struct rlimit limit = { 5, 5 };

	report(s);
	if (fork() == 0) {
		setrlimit(RLIMIT_LOCKS, &limit);
		role_wait(s);
	}
	for (;;)
		wait(NULL);
}
