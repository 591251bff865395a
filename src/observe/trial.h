/* SPDX-License-Identifier: Apache-2.0 */
/* trial.h - tries a backend out: starts it for a process of our own, lets that do one thing of each
 * category, and looks what is seen. For probes. */
#pragma once
#include "observe/backend.h"

#define TRIAL_EXIT_CODE 3

#define KIND_BIT(kind) (1ULL << (unsigned)(kind))

/* Of the process: it is held at a gate until the backend was started for it. Then it forks a child
 * that ends, opens and closes /dev/null, connects to a port of 127.0.0.1 where nobody listens, and
 * executes /bin/sh, which exits with TRIAL_EXIT_CODE. */
struct trial {
	uint64_t seen;      /* set of KIND_BIT(), of that process or its child; exits: its own */
	bool saw_exit_code; /* the process's own */
	bool saw_path;      /* /dev/null, at an event of category file */
	uint64_t missed;
	bool own_only; /* backend_run, as those that follow */
	uint32_t tier;
	int refused;
};

/* Returns when all of `wanted` (set of KIND_BIT()) was seen, or after a few seconds. Negative errno
 * with the reason in `e` when the backend did not start. */
int trial_run(struct trial *ret, const struct backend *b, enum reeve_scope scope, int cgroup_dir,
	      unsigned categories, uint64_t wanted, struct error *e);

/* Waits for the end of a child that ends by itself, whatever signals come to this process. Another
 * may have reaped it. */
void trial_reap(pid_t pid);

/* A probe of the usual kind: `level` with `reason` when all of `wanted` was seen, else unavailable
 * with what went wrong. */
void trial_probe(const struct backend *b, enum reeve_scope scope, int cgroup_dir,
		 unsigned categories, uint64_t wanted, enum reeve_support level, const char *reason,
		 struct backend_support ret[REEVE_CATEGORIES]);
