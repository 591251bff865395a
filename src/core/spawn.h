/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - makes a child of the *caller's parent* and runs a spec in it.
 *
 * clone(CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PARENT_SETTID): the kernel stores the pid in
 * the slot record before the child can run, so nobody needs to be told it, and a spawner that
 * is killed at any instant leaves either no child or one that the record names. The child writes
 * each step into the record before doing it, and the errno of the one that failed.
 *
 * A gated child is a plain copy instead (no CLONE_VM): its maker goes on at once, and it waits for
 * a byte on the gate before execve. Sources: clone(2), execve(2), credentials(7). */
#pragma once
#include "core/control.h"
#include "core/spec.h"

struct spawn_fds {
	int in, out, err; /* become 0, 1, 2; -1: /dev/null */
	int cgroup;       /* directory of the cgroup to be in; -1 for none */
	bool goes_there;  /* it goes into the cgroup by itself, and is not made there */
	int gate;         /* one end of a socket, which tells of a filter (entry_tell) and then
			   * waits; -1 for none. Closed by a successful execve */
};

/* Once, before the first child: this process's signals become what theirs are to be, the default
 * for all. To do it in each child would cost it 60 system calls. */
void spawn_prepare(void);

/* Runs `view` in a new child; returns when it has exec'd, failed (`slot->fail` is then set, and the
 * child ends with status 127) or, gated, at once. Negative errno when no child was made. */
int spawn_child(struct control_slot *slot, const struct spec_view *view,
		const struct spawn_fds *fds);

/* "execve", for messages. */
const char *spawn_step_name(enum spawn_step step);
