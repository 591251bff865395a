/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/calls.h"
#include "base/cleanup.h"
#include "observe/call_follow.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define STOP 0xff /* a jump to where the call is stopped; no other is as far */

/* x86_64, i386, aarch64 */
#define NR(a, b, c)        .nr = { a, b, c }
#define FILE_CALL(k, f)    .category = REEVE_FILE, .kind = REEVE_##k, .form = FORM_##f
#define NETWORK_CALL(k, f) .category = REEVE_NETWORK, .kind = REEVE_##k, .form = FORM_##f
#define PROCESS_CALL(k, f) .category = REEVE_PROCESS, .kind = REEVE_##k, .form = FORM_##f

static const struct call_rule rules[] = {
	/* open, openat, openat2, creat */
	{ NR(2, 5, -1), FILE_CALL(OPENED, OPEN), .path = 1, .flags = 2, .mode = 3 },
	{ NR(257, 295, 56), FILE_CALL(OPENED, OPEN), .dir = 1, .path = 2, .flags = 3, .mode = 4 },
	{ NR(437, 437, 437), FILE_CALL(OPENED, OPEN_HOW), .dir = 1, .path = 2, .flags = 3 },
	{ NR(85, 8, -1), FILE_CALL(OPENED, CREAT), .path = 1, .mode = 2 },
	/* mknod, mknodat */
	{ NR(133, 14, -1), FILE_CALL(CREATED, MKNOD), .path = 1, .mode = 2 },
	{ NR(259, 297, 33), FILE_CALL(CREATED, MKNOD), .dir = 1, .path = 2, .mode = 3 },
	/* rename, renameat, renameat2 */
	{ NR(82, 38, -1), FILE_CALL(RENAMED, PLAIN), .path = 1, .path2 = 2 },
	{ NR(264, 302, 38), FILE_CALL(RENAMED, PLAIN), .dir = 1, .path = 2, .dir2 = 3, .path2 = 4 },
	{ NR(316, 353, 276), FILE_CALL(RENAMED, PLAIN), .dir = 1, .path = 2, .dir2 = 3,
	  .path2 = 4 },
	/* unlink, unlinkat, rmdir */
	{ NR(87, 10, -1), FILE_CALL(UNLINKED, PLAIN), .path = 1 },
	{ NR(263, 301, 35), FILE_CALL(UNLINKED, UNLINKAT), .dir = 1, .path = 2, .flags = 3 },
	{ NR(84, 40, -1), FILE_CALL(RMDIR, PLAIN), .path = 1 },
	/* link, linkat, symlink, symlinkat */
	{ NR(86, 9, -1), FILE_CALL(LINKED, PLAIN), .path = 1, .path2 = 2 },
	{ NR(265, 303, 37), FILE_CALL(LINKED, PLAIN), .dir = 1, .path = 2, .dir2 = 3, .path2 = 4 },
	{ NR(88, 83, -1), FILE_CALL(SYMLINKED, PLAIN), .path = 1, .path2 = 2 },
	{ NR(266, 304, 36), FILE_CALL(SYMLINKED, PLAIN), .path = 1, .dir2 = 2, .path2 = 3 },
	/* mkdir, mkdirat */
	{ NR(83, 39, -1), FILE_CALL(MKDIR, PLAIN), .path = 1, .mode = 2 },
	{ NR(258, 296, 34), FILE_CALL(MKDIR, PLAIN), .dir = 1, .path = 2, .mode = 3 },
	/* truncate, truncate64, ftruncate, ftruncate64 */
	{ NR(76, 92, 45), FILE_CALL(TRUNCATED, PLAIN), .path = 1, .size = 2 },
	{ NR(-1, 193, -1), FILE_CALL(TRUNCATED, SIZE_HALF), .path = 1, .size = 2 },
	{ NR(77, 93, 46), FILE_CALL(TRUNCATED, PLAIN), .fd = 1, .size = 2 },
	{ NR(-1, 194, -1), FILE_CALL(TRUNCATED, SIZE_HALF), .fd = 1, .size = 2 },
	/* chmod, fchmod, fchmodat, fchmodat2 */
	{ NR(90, 15, -1), FILE_CALL(CHMOD, PLAIN), .path = 1, .mode = 2 },
	{ NR(91, 94, 52), FILE_CALL(CHMOD, PLAIN), .fd = 1, .mode = 2 },
	{ NR(268, 306, 53), FILE_CALL(CHMOD, PLAIN), .dir = 1, .path = 2, .mode = 3 },
	{ NR(452, 452, 452), FILE_CALL(CHMOD, PLAIN), .dir = 1, .path = 2, .mode = 3 },
	/* chown, lchown, fchown; the same with 16-bit numbers; fchownat */
	{ NR(92, 212, -1), FILE_CALL(CHOWN, PLAIN), .path = 1, .owner = 2 },
	{ NR(94, 198, -1), FILE_CALL(CHOWN, PLAIN), .path = 1, .owner = 2 },
	{ NR(93, 207, 55), FILE_CALL(CHOWN, PLAIN), .fd = 1, .owner = 2 },
	{ NR(-1, 182, -1), FILE_CALL(CHOWN, PLAIN), .path = 1, .owner = 2 },
	{ NR(-1, 16, -1), FILE_CALL(CHOWN, PLAIN), .path = 1, .owner = 2 },
	{ NR(-1, 95, -1), FILE_CALL(CHOWN, PLAIN), .fd = 1, .owner = 2 },
	{ NR(260, 298, 54), FILE_CALL(CHOWN, PLAIN), .dir = 1, .path = 2, .owner = 3 },
	/* execve, execveat */
	{ NR(59, 11, 221), PROCESS_CALL(EXECUTED, EXEC), .path = 1 },
	{ NR(322, 358, 281), PROCESS_CALL(EXECUTED, EXEC), .dir = 1, .path = 2 },
	/* connect, bind, listen, sendto, sendmsg, sendmmsg, socketcall */
	{ NR(42, 362, 203), NETWORK_CALL(CONNECTED, ADDRESS), .fd = 1 },
	{ NR(49, 361, 200), NETWORK_CALL(BOUND, ADDRESS), .fd = 1 },
	{ NR(50, 363, 201), NETWORK_CALL(LISTENING, LISTEN), .fd = 1 },
	{ NR(44, 369, 206), NETWORK_CALL(DATAGRAM, SENDTO), .fd = 1 },
	{ NR(46, 370, 211), NETWORK_CALL(DATAGRAM, MESSAGE), .fd = 1 },
	{ NR(307, 345, 269), NETWORK_CALL(DATAGRAM, MESSAGES), .fd = 1 },
	{ NR(-1, 102, -1), NETWORK_CALL(KIND_NONE, SOCKETCALL) },
};

/* chdir, fchdir, setns, pivot_root, mount, umount, umount2, move_mount */
static const struct {
	int16_t nr[N_CALL_ARCHS];
} moves[] = {
	{ NR(80, 12, 49) },  { NR(81, 133, 50) }, { NR(308, 346, 268) }, { NR(155, 217, 41) },
	{ NR(165, 21, 40) }, { NR(-1, 22, -1) },  { NR(166, 52, 39) },   { NR(429, 429, 429) },
};

static const uint32_t audits[N_CALL_ARCHS] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,
					       AUDIT_ARCH_AARCH64 };

const struct call_rule *call_rule(enum call_arch arch, int nr)
{
	for (size_t i = 0; nr >= 0 && i < ARRAY_SIZE(rules); i++) {
		if (rules[i].nr[arch] == nr)
			return &rules[i];
	}
	return NULL;
}

bool call_moves(enum call_arch arch, int nr)
{
	for (size_t i = 0; nr >= 0 && i < ARRAY_SIZE(moves); i++) {
		if (moves[i].nr[arch] == nr)
			return true;
	}
	return false;
}

bool call_arch_of(uint32_t audit, enum call_arch *ret)
{
	for (unsigned i = 0; i < N_CALL_ARCHS; i++) {
		if (audits[i] == audit) {
			*ret = (enum call_arch)i;
			return true;
		}
	}
	return false;
}

/* --- the filter ------------------------------------------------------------------------------ */

static void put(struct entry *e, uint16_t code, uint32_t k, unsigned yes, unsigned no)
{
	e->code[e->n++] = (struct sock_filter){ code, (uint8_t)yes, (uint8_t)no, k };
}

static void put_load(struct entry *e, size_t offset)
{
	put(e, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* A comparison: when it holds, the call stops. */
static void put_stop_if(struct entry *e, uint16_t how, uint32_t k)
{
	put(e, BPF_JMP | how | BPF_K, k, STOP, 0);
}

static void put_stop(struct entry *e, uint32_t nr)
{
	put_stop_if(e, BPF_JEQ, nr);
}

/* Lets a call pass, when it is `nr`, unless a comparison up to end_condition() stops it. Returns
 * its place. */
static uint32_t begin_condition(struct entry *e, uint32_t nr)
{
	put(e, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 0);
	return e->n - 1;
}

static void end_condition(struct entry *e, uint32_t begin)
{
	put(e, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	e->code[begin].jf = (uint8_t)(e->n - begin - 1);
}

static size_t arg_at(unsigned i)
{
	return offsetof(struct seccomp_data, args) + i * sizeof(uint64_t);
}

/* Where argument 5 is a NULL pointer, nothing is sent to an address of its own. */
static void put_sendto(struct entry *e, uint32_t nr)
{
	uint32_t begin = begin_condition(e, nr);

	put_load(e, arg_at(4));
	put(e, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, STOP);
	put_load(e, arg_at(4) + sizeof(uint32_t));
	put(e, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, STOP);
	end_condition(e, begin);
}

static void put_follow(struct entry *e, uint32_t nr, enum follow_when when)
{
	uint32_t begin;

	if (when == WHEN_ALWAYS) {
		put_stop(e, nr);
		return;
	}
	begin = begin_condition(e, nr);
	switch (when) {
	case WHEN_DUPLICATING:
		put_load(e, arg_at(1));
		put_stop(e, F_DUPFD);
		put_stop(e, F_DUPFD_CLOEXEC);
		break;
	case WHEN_EXECUTABLE:
		put_load(e, arg_at(3));
		put(e, BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 2, 0);
		put_load(e, arg_at(2));
		put_stop_if(e, BPF_JSET, PROT_EXEC);
		break;
	case WHEN_DESCRIPTORS:
		put_load(e, arg_at(0));
		put_stop_if(e, BPF_JSET, CLONE_FILES);
		break;
	default:
		break;
	}
	end_condition(e, begin);
}

static void put_moves(struct entry *e, enum call_arch arch)
{
	for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
		if (moves[i].nr[arch] >= 0)
			put_stop(e, (uint32_t)moves[i].nr[arch]);
	}
}

/* What is only of use where results are seen. First: sendto() is there in any case. */
static void put_followed(struct entry *e, enum call_arch arch, unsigned categories)
{
	const struct follow_rule *r;

	for (size_t i = 0; (r = follow_rule_at(i)); i++) {
		if (r->nr[arch] >= 0 && (categories & follow_categories(r)) != 0)
			put_follow(e, (uint32_t)r->nr[arch], (enum follow_when)r->when);
	}
}

static bool is_wanted(const struct call_rule *r, enum call_arch arch, unsigned categories)
{
	return r->nr[arch] >= 0 &&
	       (categories & category_bit((enum reeve_category)r->category)) != 0;
}

static void put_arch(struct entry *e, enum call_arch arch, unsigned categories, uint32_t action)
{
	uint32_t first = e->n;

	put(e, BPF_JMP | BPF_JEQ | BPF_K, audits[arch], 0, 0);
	put_load(e, offsetof(struct seccomp_data, nr));
	if (action == SECCOMP_RET_TRACE)
		put_followed(e, arch, categories);
	else if ((categories & category_bit(REEVE_PROCESS)) != 0)
		put_moves(e, arch);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (!is_wanted(&rules[i], arch, categories))
			continue;
		if (rules[i].form == FORM_SENDTO)
			put_sendto(e, (uint32_t)rules[i].nr[arch]);
		else
			put_stop(e, (uint32_t)rules[i].nr[arch]);
	}
	put(e, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	for (uint32_t i = first; i < e->n; i++) {
		uint8_t far = (uint8_t)(e->n - i - 1);

		e->code[i].jt = e->code[i].jt == STOP ? far : e->code[i].jt;
		e->code[i].jf = e->code[i].jf == STOP ? far : e->code[i].jf;
	}
	put(e, BPF_RET | BPF_K, action, 0, 0);
	e->code[first].jf = (uint8_t)(e->n - first - 1);
}

void calls_filter(unsigned categories, uint32_t action, struct entry *ret)
{
	memset(ret, 0, sizeof(*ret));
	put_load(ret, offsetof(struct seccomp_data, arch));
	for (unsigned a = 0; a < N_CALL_ARCHS; a++)
		put_arch(ret, (enum call_arch)a, categories, action);
	put(ret, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}
