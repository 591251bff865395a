/* SPDX-License-Identifier: Apache-2.0 */
/* ebpf_kernel.h - the programs of the backend `ebpf` in the kernel, for whoever may load them: the
 * engine, or the helper on behalf of one that may not. */
#pragma once
#include "observe/ebpf.h"

struct ebpf_kernel {
	int fds[N_EBPF_FDS];
	struct session *sessions; /* shared with the kernel, as is `control` */
	struct control *control;  /* NULL: the helper has it */
};

void ebpf_kernel_init(struct ebpf_kernel *k);
void ebpf_kernel_done(struct ebpf_kernel *k);

/* Loads. On failure it is as after ebpf_kernel_init(). -EPERM: see ebpf_load(). */
int ebpf_kernel_load(struct ebpf_kernel *k, const struct owner *owner, struct error *e);

/* The descriptors are there: maps memory. */
int ebpf_kernel_open(struct ebpf_kernel *k);

/* Attaches program `i` unless it is; one that this kernel does not have is no failure. */
int ebpf_kernel_attach(struct ebpf_kernel *k, unsigned i, int cgroup_dir);

/* All tasks of a process, or one thread. */
int ebpf_kernel_tag(const struct ebpf_kernel *k, int pidfd, const struct tag *tag);

/* All that is in a cgroup. */
int ebpf_kernel_watch(struct ebpf_kernel *k, uint64_t cgroup, const struct tag *tag);
int ebpf_kernel_unwatch(struct ebpf_kernel *k, uint64_t cgroup);

/* Forgets the cgroups of sessions that are no more. */
void ebpf_kernel_settle(struct ebpf_kernel *k);
