/* SPDX-License-Identifier: Apache-2.0 */
/* caller_memory.h - a descriptor of the memory of whoever makes call after call: it is read more
 * cheaply than what is found by the number of a thread. */
#pragma once
#include "observe/calls.h"

/* All zero: none is open. */
struct caller_memory {
	int fd;
	int32_t tid;        /* who called last */
	unsigned row;       /* how often, without another and without an execve */
	uint64_t until;     /* monotonic us */
	bool sees_programs; /* an execve is among the calls that are asked about */
};

/* /proc/TID/mem of the caller, good for this call; 0: its memory is to be found by its number.
 * Asked for each call that is held up, before it goes on. */
int caller_memory(struct caller_memory *m, const struct call *c);
void caller_memory_close(struct caller_memory *m);
