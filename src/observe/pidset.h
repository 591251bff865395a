/* SPDX-License-Identifier: Apache-2.0 */
/* pidset.h - a set of pids, and what is known of the threads of each (threads.h). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PIDSET_MAX 1000000U

struct pid_place {
	pid_t pid; /* 0: free */
	int32_t threads, code;
};

/* All zero: empty. */
struct pidset {
	struct pid_place *places;
	size_t n, capacity; /* a power of two */
};

void pidset_done(struct pidset *s);
bool pidset_has(const struct pidset *s, pid_t pid);

/* The place of one that is in, until the set changes; NULL when it is not. */
struct pid_place *pidset_at(const struct pidset *s, pid_t pid);

/* -ENOMEM, -ENOSPC past PIDSET_MAX, -EINVAL: no pid. */
int pidset_add(struct pidset *s, pid_t pid);

/* Whether it was in. */
bool pidset_remove(struct pidset *s, pid_t pid);
