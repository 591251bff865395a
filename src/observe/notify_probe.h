/* SPDX-License-Identifier: Apache-2.0 */
/* notify_probe.h - whether seccomp-user-notify works here: tried. */
#pragma once
#include "observe/backend.h"

/* See struct backend. */
void notify_probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES]);
