/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - the resource limits that a command can be given, getrlimit(2), by name. */
#pragma once

struct limit_name {
	const char *name; /* "nofile" */
	int resource;     /* RLIMIT_NOFILE */
};

/* Ends with a NULL name. RLIMIT_LOCKS is not among them: it marks the processes of a session. */
extern const struct limit_name limit_names[];
