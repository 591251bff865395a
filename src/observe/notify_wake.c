/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/notify_wake.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#define WINDOW      128U   /* calls after which the way of waking is chosen anew */
#define CROWDED     32U    /* of these came while another was being answered */
#define SLOW_US     100U   /* taking turns took so long: others want this CPU, too */
#define REST_MIN_US 50000U /* not done again for so long, at first */
#define REST_MAX_US 3200000U

static void wake_by_load(struct notify_wake *w, int listener)
{
	bool sync = w->crowded < CROWDED;

	if (sync != w->sync && ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
				     sync ? SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP : 0UL) == 0)
		w->sync = sync;
	w->answered = w->crowded = 0;
}

void notify_wake_init(struct notify_wake *w, int listener)
{
	*w = (struct notify_wake){ .rest_us = REST_MIN_US };
	wake_by_load(w, listener);
}

void notify_wake_caller(struct notify_wake *w, uint32_t tid)
{
	w->before = w->last;
	w->last = tid;
}

void notify_wake_answered(struct notify_wake *w, int listener, bool at_once)
{
	w->crowded += at_once && w->last != w->before;
	if (++w->answered == WINDOW)
		wake_by_load(w, listener);
}

/* A caller that was woken on this CPU, and is alone, makes its next call as soon as we let it run:
 * that spares both of us a sleep. Where others wait for the CPU it would cost us our place in the
 * queue, so what it cost is looked at. */
bool notify_wake_turn(struct notify_wake *w)
{
	uint64_t begin, end;

	if (!w->sync || w->last != w->before)
		return false;
	begin = clock_monotonic_us();
	if (begin < w->rest_until)
		return false;
	(void)sched_yield();
	end = clock_monotonic_us();
	if (end - begin < SLOW_US) {
		if (++w->turns == WINDOW)
			w->rest_us = REST_MIN_US;
		return true;
	}
	w->rest_until = end + w->rest_us;
	w->rest_us = MIN(2 * w->rest_us, REST_MAX_US);
	w->turns = 0;
	return true;
}
