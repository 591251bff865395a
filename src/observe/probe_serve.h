/* SPDX-License-Identifier: Apache-2.0 */
/* probe_serve.h - trying backends out in a process of its own: what it is asked, and the process.
 * One SOCK_SEQPACKET message each way for each backend. */
#pragma once
#include "observe/backend.h"

#define PROBE_NAME_MAX 32U

struct probe_request {
	char backend[PROBE_NAME_MAX];
	uint32_t scope; /* a descriptor of the sessions' cgroups may come along */
};

struct probe_answer {
	struct backend_support by[REEVE_CATEGORIES];
};

/* Serves until the socket ends, or the process that began this one does. Returns 0 or a negative
 * errno. */
int probe_serve(int sock);
