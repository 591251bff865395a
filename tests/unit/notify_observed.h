/* SPDX-License-Identifier: Apache-2.0 */
/* notify_observed.h - for tests of what seccomp-user-notify knows of processes: a tree of processes
 * of the test whose files and programs are told. */
#pragma once
#include "observed.h"

#define ALL (1U << REEVE_FILE | 1U << REEVE_PROCESS)

static const struct backend *const backend = &backend_seccomp_user_notify;

static inline void observe(struct observed *o, void (*role)(void *), void *userdata)
{
	observed_start(o, backend, ALL, role, userdata);
	observed_finish(o);
	assert_int_equal(o->status, 0);
}

/* In a process that is observed. */
static inline void need(bool condition)
{
	if (!condition)
		_exit(1);
}

static inline void wait_for(pid_t pid)
{
	int status;

	need(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}
