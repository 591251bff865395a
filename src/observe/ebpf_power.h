/* SPDX-License-Identifier: Apache-2.0 */
/* ebpf_power.h - what takes privileges: done by this process where it may, else by the helper. */
#pragma once
#include "observe/ebpf_kernel.h"
#include "observe/helper.h"

struct ebpf_power {
	struct ebpf_kernel kernel; /* of the helper's: what reading takes */
	struct helper_client helper;
	uint64_t attached; /* by the helper: set of programs */
};

void ebpf_power_init(struct ebpf_power *p);
void ebpf_power_done(struct ebpf_power *p);

/* Loads; with `everything` not by the helper, who shows each user its own only. `e` says what would
 * help. */
int ebpf_power_load(struct ebpf_power *p, bool everything, struct error *e);
int ebpf_refuse_everything(struct error *e);

static inline bool ebpf_power_is_lent(const struct ebpf_power *p)
{
	return p->helper.sock >= 0;
}

bool ebpf_power_is_attached(const struct ebpf_power *p, unsigned i);
int ebpf_power_attach(struct ebpf_power *p, unsigned i, int cgroup_dir);
void ebpf_power_detach(struct ebpf_power *p, unsigned i);

int ebpf_power_tag(struct ebpf_power *p, int pidfd, const struct tag *tag);

/* `dir` is the directory of the cgroup whose number is `id`. */
int ebpf_power_watch(struct ebpf_power *p, int dir, uint64_t id, const struct tag *tag);
void ebpf_power_unwatch(struct ebpf_power *p, uint64_t id);

/* Forgets what a predecessor had for sessions that are no more. */
void ebpf_power_settle(struct ebpf_power *p);

/* `now`: what it finds is in the rings when this returns; else it may be a little later. */
void ebpf_power_sweep(struct ebpf_power *p, bool now);
