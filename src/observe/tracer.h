/* SPDX-License-Identifier: Apache-2.0 */
/* tracer.h - a process of its own that traces a tree (ptrace(2)) and writes its events into a ring.
 *
 * It lives until the last process it traces has ended. Where the filter of calls is in place, these
 * would fail with ENOSYS without it, and a successor would come too late for the first of them: so
 * the kernel kills with it what it traces (PTRACE_O_EXITKILL). */
#pragma once
#include "observe/backend.h"
#include "observe/trace_ring.h"

struct tracer_config {
	pid_t leader;
	unsigned categories;
	enum backend_detail detail;
	bool filtered; /* calls of interest stop by themselves: prepare() was obeyed */
};

/* What the reader of its ring wants from now on; what the filter does not stop stays unseen. */
void tracer_want(struct trace_ring *ring, unsigned categories, enum backend_detail detail);

/* Starts one for a process that waits; when this returns it is traced. It is nobody's child: it
 * belongs to the subreaper. `ring` gets the reader's side. Negative errno; -EPERM: the process must
 * not be traced by this user. */
int tracer_start(struct trace_ring *ring, const struct tracer_config *config);
