/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/call_follow.h"
#include "base/cleanup.h"
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>

/* x86_64, i386, aarch64 */
#define NR(a, b, c) .nr = { a, b, c }

static const struct follow_rule rules[] = {
	/* read, pread64, readv, preadv, preadv2 */
	{ NR(0, 3, 63), FOLLOW_READ, .fd = 1 },
	{ NR(17, 180, 67), FOLLOW_READ, .fd = 1 },
	{ NR(19, 145, 65), FOLLOW_READ, .fd = 1 },
	{ NR(295, 333, 69), FOLLOW_READ, .fd = 1 },
	{ NR(327, 378, 286), FOLLOW_READ, .fd = 1 },
	/* write, pwrite64, writev, pwritev, pwritev2 */
	{ NR(1, 4, 64), FOLLOW_WRITE, .fd = 1 },
	{ NR(18, 181, 68), FOLLOW_WRITE, .fd = 1 },
	{ NR(20, 146, 66), FOLLOW_WRITE, .fd = 1 },
	{ NR(296, 334, 70), FOLLOW_WRITE, .fd = 1 },
	{ NR(328, 379, 287), FOLLOW_WRITE, .fd = 1 },
	/* sendfile, sendfile64, splice, copy_file_range */
	{ NR(40, 187, 71), FOLLOW_COPY, .fd = 2, .fd2 = 1 },
	{ NR(-1, 239, -1), FOLLOW_COPY, .fd = 2, .fd2 = 1 },
	{ NR(275, 313, 76), FOLLOW_COPY, .fd = 1, .fd2 = 3 },
	{ NR(326, 377, 285), FOLLOW_COPY, .fd = 1, .fd2 = 3 },
	/* sendto, sendmsg, sendmmsg */
	{ NR(44, 369, 206), FOLLOW_SEND, .fd = 1 },
	{ NR(46, 370, 211), FOLLOW_SEND, .fd = 1 },
	{ NR(307, 345, 269), FOLLOW_SEND, .fd = 1, .many = 1 },
	/* recvfrom, recvmsg, recvmmsg, recvmmsg_time64 */
	{ NR(45, 371, 207), FOLLOW_RECEIVE, .fd = 1 },
	{ NR(47, 372, 212), FOLLOW_RECEIVE, .fd = 1 },
	{ NR(299, 337, 243), FOLLOW_RECEIVE, .fd = 1, .many = 1 },
	{ NR(-1, 417, -1), FOLLOW_RECEIVE, .fd = 1, .many = 1 },
	/* accept, accept4 */
	{ NR(43, -1, 202), FOLLOW_ACCEPT, .fd = 1 },
	{ NR(288, 364, 242), FOLLOW_ACCEPT, .fd = 1 },
	/* close, close_range */
	{ NR(3, 6, 57), FOLLOW_CLOSE, .fd = 1 },
	{ NR(436, 436, 436), FOLLOW_CLOSE_RANGE },
	/* dup, dup2, dup3, fcntl, fcntl64 */
	{ NR(32, 41, 23), FOLLOW_DUPLICATE, .fd = 1 },
	{ NR(33, 63, -1), FOLLOW_DUPLICATE, .fd = 1 },
	{ NR(292, 330, 24), FOLLOW_DUPLICATE, .fd = 1 },
	{ NR(72, 55, 25), FOLLOW_DUPLICATE, WHEN_DUPLICATING, .fd = 1 },
	{ NR(-1, 221, -1), FOLLOW_DUPLICATE, WHEN_DUPLICATING, .fd = 1 },
	/* unshare */
	{ NR(272, 310, 97), FOLLOW_UNSHARE, WHEN_DESCRIPTORS },
	/* mmap, mmap2 */
	{ NR(9, 192, 222), FOLLOW_MAP, WHEN_EXECUTABLE, .fd = 5 },
};

const struct follow_rule *follow_rule(enum call_arch arch, int nr)
{
	for (size_t i = 0; nr >= 0 && i < ARRAY_SIZE(rules); i++) {
		if (rules[i].nr[arch] == nr)
			return &rules[i];
	}
	return NULL;
}

bool follow_applies(const struct follow_rule *r, const struct call *c)
{
	switch ((enum follow_when)r->when) {
	case WHEN_DUPLICATING:
		return c->args[1] == F_DUPFD || c->args[1] == F_DUPFD_CLOEXEC;
	case WHEN_EXECUTABLE:
		return (c->args[2] & PROT_EXEC) != 0 && (c->args[3] & MAP_ANONYMOUS) == 0;
	case WHEN_DESCRIPTORS:
		return (c->args[0] & CLONE_FILES) != 0;
	default:
		return true;
	}
}

const struct follow_rule *follow_rule_at(size_t i)
{
	return i < ARRAY_SIZE(rules) ? &rules[i] : NULL;
}

unsigned follow_categories(const struct follow_rule *r)
{
	switch ((enum follow_what)r->what) {
	case FOLLOW_MAP:
		return category_bit(REEVE_FILE);
	case FOLLOW_SEND:
	case FOLLOW_RECEIVE:
	case FOLLOW_ACCEPT:
		return category_bit(REEVE_NETWORK);
	default:
		return category_bit(REEVE_FILE) | category_bit(REEVE_NETWORK);
	}
}
