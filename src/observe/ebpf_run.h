/* SPDX-License-Identifier: Apache-2.0 */
/* ebpf_run.h - one session in the maps of the backend `ebpf`. */
#pragma once
#include "observe/ebpf.h"

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
	int fds[N_EBPF_FDS];
	bool resumed; /* the descriptors are a predecessor's */
	struct ebpf_ring rings[RINGS];
	struct session *sessions; /* shared with the kernel */
	struct control *control;
	struct watch watches[RINGS], tick, sweeper;
	bool awake;
	unsigned quiet; /* ticks without an event */
	uint64_t swept; /* monotonic ms */
	uint64_t gone;
	struct ebpf_run *first;
	struct ebpf_run *runs[SESSIONS_MAX];
	unsigned n_calls; /* runs that want files or network */
	struct ebpf_texts texts;
};

int ebpf_run_start(struct ebpf *b, struct backend_run *run, struct error *e);
void ebpf_run_stop(struct ebpf_run *r);
int ebpf_run_change(struct ebpf_run *r, unsigned categories, enum backend_detail detail);

/* Forgets the sessions of a predecessor that were not started again. */
void ebpf_run_settled(struct ebpf *b);

/* Tags the leader, and all of its tree when it was not held at its gate. */
int ebpf_run_tag(struct ebpf_run *r);

/* Attaches and detaches as the runs need it. */
int ebpf_update_links(struct ebpf *b);
