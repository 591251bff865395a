/* SPDX-License-Identifier: Apache-2.0 */
/* details.h - what /proc tells about a process that a backend knows only the pid of: read after
 * the fact, so another program may run there by then, or none. Of one in the middle of an execve it
 * is that which begins. */
#pragma once
#include "observe/event.h"
#include <limits.h>
#include <sys/types.h>

/* Where the texts of one event are. */
struct details {
	char path[PATH_MAX], cwd[PATH_MAX];
	char argv[EVENT_TEXT_MAX];
	char comm[16];
};

/* Adds path, argv, cwd, comm and ppid, as far as they can be read. The texts are in `d`. */
void details_of_process(struct details *d, pid_t pid, struct reeve_event *e);

/* Copies `size` bytes of arguments, each with its NUL behind it, without their secrets. Returns how
 * many bytes are in `to`; what does not fit is left out. Without memory nothing is told. */
size_t details_redact(const char *raw, size_t size, char *to, size_t max);

/* The wait status of a process as an exit code: 0..255, -N for signal N. */
int details_exit_code(int status);

/* ms since the epoch of a time of CLOCK_MONOTONIC in ns. */
uint64_t details_time(uint64_t monotonic_ns);
