/* SPDX-License-Identifier: Apache-2.0 */
/* setup.h - how a keeper comes to be: with everything new, or with what an engine hands back. */
#pragma once
#include "keeper/keeper.h"

struct setup_options {
	const char *dir, *engine;
	int adopt_fd; /* socket to the engine that outlived the keeper before; -1 for a fresh start
		       */
	int reads_fd; /* the ring of reads that it has; -1 for none */
	bool foreground; /* log to stderr too */
};

/* ERROR_ALREADY_EXISTS when another daemon holds the lock. */
int setup(struct keeper *k, const struct setup_options *o, struct error *e);

/* Writes `PID STARTTIME` (and ` parked`) into the lock file. */
void setup_write_lock(struct keeper *k);

/* Maps what DAEMON_FD_CONTROL is. */
int setup_map_control(struct keeper *k, struct error *e);

/* Takes the daemon over from the engine at the other end of `sock`: the keeper before is dead. */
int setup_adopt(struct keeper *k, int sock, struct error *e);

/* Removes socket and cgroups; the lock goes with the process. */
void setup_leave(struct keeper *k);
