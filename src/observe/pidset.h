/* SPDX-License-Identifier: Apache-2.0 */
/* pidset.h - a set of pids. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PIDSET_MAX 1000000U

/* All zero: empty. */
struct pidset {
	pid_t *places;      /* 0: free */
	size_t n, capacity; /* a power of two */
};

void pidset_done(struct pidset *s);
bool pidset_has(const struct pidset *s, pid_t pid);

/* -ENOMEM, -ENOSPC past PIDSET_MAX. */
int pidset_add(struct pidset *s, pid_t pid);

/* Whether it was in. */
bool pidset_remove(struct pidset *s, pid_t pid);
