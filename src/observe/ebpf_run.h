/* SPDX-License-Identifier: Apache-2.0 */
/* ebpf_run.h - one session in the maps of the backend `ebpf`. */
#pragma once
#include "observe/ebpf_power.h"

#define EBPF_SWEEP_MS 1000U /* between two looks at open files */

struct ebpf_run {
	struct ebpf_run *next;
	struct ebpf *b;
	struct backend_run *run;
	uint32_t place, generation; /* in the map `sessions` */
	uint64_t cgroup_id;         /* 0: none */
};

/* What all runs of a host share. */
struct ebpf {
	struct host *host;
	struct ebpf_power power;
	bool resumed;  /* the descriptors are a predecessor's */
	bool forsaken; /* by the helper: no more runs begin here */
	struct ebpf_ring rings[RINGS];
	struct reader *reader; /* shared with the kernel */
	struct watch watches[RINGS], tick, sweeper, end;
	bool awake;
	unsigned quiet;  /* ticks without an event */
	unsigned untold; /* turns since it was told what was dropped */
	uint64_t swept;  /* monotonic ms */
	uint64_t gone;
	struct ebpf_run *first;
	struct ebpf_run *runs[SESSIONS_MAX];
	unsigned n_calls;     /* runs that want files or network */
	uint64_t calls_until; /* monotonic ms: the programs at functions stay attached that long */
	struct ebpf_texts texts;
};

/* --- ebpf_shared.c: what all runs share ------------------------------------------------------- */

/* `everything`: a run is to see the whole machine. */
int ebpf_open(struct host *h, bool everything, struct ebpf **ret, struct error *e);
void ebpf_close(struct host *h, void *shared);

/* False when the helper is gone; then its runs have been told, and without any, `b` is gone, too.
 */
bool ebpf_look_after_helper(struct ebpf *b);

/* Ends it when nobody can need it any more. */
void ebpf_leave(struct ebpf *b);

/* Attaches and detaches as the runs need it. Those at functions may fail: then it is told as a gap,
 * and tried again. */
int ebpf_update_links(struct ebpf *b);
void ebpf_look_after_functions(struct ebpf *b);

/* Whether they should be attached and are not. */
bool ebpf_lacks_functions(const struct ebpf *b);

/* --- ebpf.c: reading ----------------------------------------------------------------------------
 */

void ebpf_on_ring(struct watch *w);
void ebpf_on_other_ring(struct watch *w);
void ebpf_on_tick(struct watch *w);
void ebpf_on_sweep(struct watch *w);
void ebpf_set_timer(int fd, uint64_t us, uint64_t every_us);
void ebpf_set_sleeping(struct ebpf *b, uint32_t value);

/* --- ebpf_run.c ----------------------------------------------------------------------------------
 */

int ebpf_run_start(struct ebpf *b, struct backend_run *run, struct error *e);
void ebpf_run_stop(struct ebpf_run *r);
int ebpf_run_change(struct ebpf_run *r, unsigned categories, enum backend_detail detail);

/* Forgets the sessions of a predecessor that were not started again. */
void ebpf_run_settled(struct ebpf *b);

/* Tags the leader, and all of its tree when it was not held at its gate. */
int ebpf_run_tag(struct ebpf_run *r);
