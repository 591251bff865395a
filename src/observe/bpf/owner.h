/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* owner.h - whom the programs may tell of. */
#pragma once
#include "read.h"
#include "record.h"

/* mm->flags, bits 0 and 1: what prctl(PR_GET_DUMPABLE) gives. */
#define DUMPABLE_MASK    3
#define DUMPABLE_BY_USER 1
#define USER_LEVELS      32 /* of user namespaces */

const volatile struct owner owner SEC(".rodata.owner");

static __always_inline bool is_dumpable(struct mm_struct *mm)
{
	__u64 flags = 0;
	__u32 at = bpf_core_field_exists(struct mm_struct___bits, flags)
			   ? bpf_core_field_offset(struct mm_struct___bits, flags)
			   : bpf_core_field_offset(struct mm_struct___word, flags);

	bpf_probe_read_kernel(&flags, sizeof(flags), (void *)mm + at);
	return (flags & DUMPABLE_MASK) == DUMPABLE_BY_USER;
}

/* Of a user namespace that the owner made, all is the owner's. */
static __always_inline bool is_in_own_namespace(struct user_namespace *ns, int level)
{
	for (int i = 0; i < USER_LEVELS && level > 1; i++) {
		ns = READ(user_namespace, ns, parent);
		level--;
	}
	return level == 1 && READ(user_namespace, ns, owner.val) == owner.uid;
}

static __always_inline bool has_only_rights_of_owner(const struct cred *cred)
{
	__u64 capabilities = 1;

	bpf_probe_read_kernel(&capabilities, sizeof(capabilities),
			      (void *)cred + bpf_core_field_offset(struct cred, cap_permitted));
	return capabilities == 0 && READ(cred, cred, uid.val) == owner.uid &&
	       READ(cred, cred, euid.val) == owner.uid && READ(cred, cred, suid.val) == owner.uid &&
	       READ(cred, cred, gid.val) == owner.gid && READ(cred, cred, egid.val) == owner.gid &&
	       READ(cred, cred, sgid.val) == owner.gid;
}

/* Programs that a user had loaded tell of what that user might trace, ptrace(2), and of nothing
 * else, whatever bears a tag: not of what is setuid, has capabilities, or hides its memory. A task
 * that is ending has no memory any more. */
static __always_inline bool may_be_told_of(struct task_struct *task)
{
	const struct cred *cred;
	struct user_namespace *ns;
	struct mm_struct *mm;
	int level;

	if (!owner.only)
		return true;
	cred = task->real_cred;
	mm = task->mm;
	ns = READ(cred, cred, user_ns);
	level = READ(user_namespace, ns, level);
	if (level == 0 ? !has_only_rights_of_owner(cred) : !is_in_own_namespace(ns, level))
		return false;
	return !mm || is_dumpable(mm);
}
