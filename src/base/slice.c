/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORTEST_NS 100000U /* the kernel's own limit */

/* struct sched_attr of <linux/sched/types.h>, which cannot be included beside libc's <sched.h>. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* SCHED_FLAG_RESET_ON_FORK gives children a nice value of 0 for one below. Who has no privilege
 * cannot take the flag back, so it stays. */
static bool set_slice(uint64_t ns)
{
	struct attributes a = { 0 };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) < 0 || a.policy != SCHED_NORMAL ||
	    a.nice < 0)
		return false;
	a.size = sizeof(a);
	a.flags = SCHED_FLAG_RESET_ON_FORK;
	a.runtime = ns;
	return syscall(SYS_sched_setattr, 0, &a, 0) == 0;
}

bool slice_shorten(void)
{
	return set_slice(SHORTEST_NS);
}

void slice_restore(void)
{
	(void)set_slice(0);
}
