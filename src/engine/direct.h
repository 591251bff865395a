/* SPDX-License-Identifier: Apache-2.0 */
/* direct.h - descriptors that the engine's loop waits for by itself.
 *
 * Whoever wakes a process that waits in poll(2) can ask for it to run on the waker's own processor;
 * a listener of seccomp does (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6). An epoll, with which
 * libuv waits, does not pass that on: who is woken comes to run on any processor, and takes the
 * caller along. So the loop waits with poll(2) for a few such descriptors and for libuv's epoll
 * together. poll(2) costs more with each, so where there are many, libuv waits for all but the
 * first. */
#pragma once
#include "observe/host.h"
#include <stdbool.h>
#include <uv.h>

#define DIRECT_MAX 8U

struct direct;

/* All zero: none. */
struct direct_waits {
	struct direct *first;
	unsigned n_own; /* not libuv's */
	bool over;
	/* NULL, or called when there is something in libuv's epoll, before libuv looks: some
	 * descriptors in an epoll there (perf's) are readable only for the one who asks first. */
	void (*asked)(void *userdata);
	void *userdata;
};

/* `w->ready` is called whenever the descriptor is readable or hangs up. -ENOMEM, and what
 * uv_poll_init() fails with. */
int direct_watch(struct direct_waits *d, uv_loop_t *loop, struct watch *w);
void direct_unwatch(struct direct_waits *d, const struct watch *w);

/* uv_run() until direct_stop(), or until nothing is left to wait for. */
void direct_run(struct direct_waits *d, uv_loop_t *loop);
void direct_stop(struct direct_waits *d, uv_loop_t *loop);
