/* SPDX-License-Identifier: Apache-2.0 */
/* aide.h - a child of the engine that does what may fail: the engine's own program file with
 * another option, a socket at descriptor 0, and nothing else to read or write. Any thread that has
 * it to itself. */
#pragma once
#include "base/error.h"
#include <stdint.h>
#include <sys/types.h>

#define AIDE_PROGRAM "/proc/self/exe"

struct aide {
	pid_t pid; /* 0: none runs */
	int sock;  /* non-blocking */
	int type;  /* SOCK_STREAM, SOCK_SEQPACKET */
	const char *program, *option;
	const char *what; /* "the drawer", in messages */
};

void aide_init(struct aide *a, const char *what, const char *option, int type);

int aide_start(struct aide *a, struct error *e);

/* Kills it, and all of its process group if it made one, and reaps it. Returns its wait status; 0
 * when none ran. */
int aide_end(struct aide *a);

/* One that has closed its socket gets the time to become a zombie, so that its own end is told. */
int aide_take_leave(struct aide *a, uint64_t deadline);
