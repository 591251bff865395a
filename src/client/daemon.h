/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - whether the daemon of a directory runs, and starting it.
 *
 * It runs while somebody holds the flock on the lock file, whose text is the keeper's pid and start
 * time (field 22 of /proc/PID/stat), and `parked` while a keeper without an engine waits with its
 * sessions for the next client. */
#pragma once
#include "base/error.h"
#include "base/paths.h"
#include <stdint.h>
#include <sys/types.h>

#define DAEMON_START_MS 15000U

enum daemon_state {
	DAEMON_STOPPED,
	DAEMON_STALE,  /* it ended without cleaning up; `pid` is the dead keeper's */
	DAEMON_PARKED, /* stopped, its sessions kept by the keeper `pid` */
	DAEMON_RUNNING,
};

struct daemon_status {
	enum daemon_state state;
	pid_t pid;           /* of the keeper; 0 while it is not known */
	uint64_t start_time; /* clock ticks since boot */
	bool lockless;       /* it runs, but its lock was removed */
};

/* Looks, and changes nothing. A lock that says nothing (removed, or not written on a full disk) is
 * no proof: then the socket is asked. Fails only when the lock file cannot be read. */
int daemon_probe(const struct paths *paths, struct daemon_status *ret, struct error *e);

/* The keeper's program: $REEVE_KEEPER, else beside this program, else in the libexec directory.
 * `*ret` is the caller's. */
int daemon_find_keeper(char **ret, struct error *e);

/* Starts a keeper, fully detached, and returns once the API answers; on failure everything it
 * started is ended. ERROR_ALREADY_EXISTS when one runs or comes first: it is then in `*ret`, too,
 * and answers. A parked one is woken. */
int daemon_start(const struct paths *paths, struct daemon_status *ret, struct error *e);

/* Waits until the API answers, at most until the monotonic time in ms. */
int daemon_await(const struct paths *paths, uint64_t until, struct error *e);

/* Ends keeper and engine with SIGKILL, whatever they do, until the lock is free or the time has
 * come. What ran in their sessions is ended by the next start. */
int daemon_kill(const struct paths *paths, uint64_t until, struct error *e);

/* Removes what a daemon that is gone left in the lock file. A live one is left alone. */
void daemon_forget(const struct paths *paths);

/* The last `lines` lines of the log file; "" when there are none. `*ret` is the caller's. */
int daemon_log_tail(const struct paths *paths, unsigned lines, char **ret);
