/* SPDX-License-Identifier: Apache-2.0 */
/* call_home.h - the working directory of all processes of a tree, for as long as none of them has
 * made a call that moves: then it is known without asking /proc about each. */
#pragma once
#include "observe/calls.h"
#include <stddef.h>

#define HOME_MAX        256U /* of a longer name each is asked */
#define HOME_HANDLE_MAX 128U /* MAX_HANDLE_SZ */

/* All zero: all are where the first one is, which is not known yet. */
struct call_home {
	bool left; /* each may be somewhere else */
	size_t n;  /* length of `path`; 0: not known */
	char path[HOME_MAX];
	struct home_directory {
		int mount, type;
		size_t size;
		uint8_t handle[HOME_HANDLE_MAX];
	} directory; /* where `path` led to */
};

/* What /proc/TID/`name` leads to; its length, 0 when that cannot be read. */
size_t call_link(const struct call *c, const char *name, char *to, size_t max);

/* The working directory of who makes a call; its length, 0 when that is not known. */
size_t call_cwd(const struct call *c, char *to, size_t max);
