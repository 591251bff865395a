/* SPDX-License-Identifier: Apache-2.0 */
/* helper.h - reeve-observe-helper: observing with BPF for a user who may not load programs.
 *
 * A small program with the file capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. It serves the
 * process that started it, over one SOCK_SEQPACKET socket, and does four things: loads the fixed
 * programs, attaches them, says which cgroups they observe, and stops that. It observes nothing by
 * itself, and lets nobody choose but by cgroups that belong to the caller's own user: the maps by
 * which the programs know whom to observe stay with it. It reads no file and no environment. It
 * ends with its socket; what was attached ends with the descriptors that were handed over. */
#pragma once
#include <stdint.h>

enum helper_type {
	HELPER_LOAD = 1, /* answered with the descriptors named by `set`, in this order */
	HELPER_ATTACH,   /* program `index` of those in ebpf.h, with the directory of the sessions'
			  * cgroups; answered with the link */
	HELPER_WATCH,    /* the cgroup whose directory comes along, and all in it: as `session` */
	HELPER_UNWATCH,  /* the same, no more */
};

struct helper_request {
	uint32_t type, index;
	uint32_t session, generation; /* of the tag that events bear */
};

struct helper_reply {
	int32_t result; /* 0 or a negative errno; -EPERM: a cgroup of another user, or none */
	uint32_t zero;
	uint64_t set;     /* bit n: descriptor n of enum ebpf_fd comes along */
	char reason[240]; /* of a failure */
};

/* Serves until the socket ends. Returns 0, or a negative errno when it was not started as it must
 * be. */
int helper_serve(int sock);
