/* SPDX-License-Identifier: Apache-2.0 */
/* helper.h - reeve-observe-helper: observing with BPF for a user who may not load programs.
 *
 * A small program with the file capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. It serves
 * whoever started it, over one SOCK_SEQPACKET socket, and ends with that socket; what it attached
 * ends with it. It opens no file by a name that it is given, writes nowhere, and takes nothing from
 * its environment.
 *
 * No user may learn by it what another's process does, nor what the user's own does with rights
 * that the user lacks. So the programs that it loads tell of tasks only that run with the user's
 * rights and no others at that moment (may_be_told_of() in bpf/owner.h), whoever bears a tag.
 * Besides, it tags only processes that the user may signal, and watches only cgroups that belong to
 * the user. Handed over are the rings, and the maps that say what sessions there are: programs,
 * links and the maps that say who belongs to a session stay here, because to hold a program is to
 * be able to attach it. */
#pragma once
#include "base/error.h"
#include <stdint.h>

#define HELPER_PROGRAM "reeve-observe-helper"
#define HELPERS_MAX    16U /* of a user at once: each costs every process of the machine */
#define HELPER_FD      3   /* of the helper: its socket */
#define HELPER_ASK_MS  2000U
#define HELPER_LOAD_MS 8000U /* less than the keeper gives an engine that does not answer */

/* A helper outlives the engine that started it, and may serve a newer one: a change of any of this
 * changes RECORD_VERSION. */
enum helper_type {
	HELPER_LOAD = 1, /* answered with the descriptors below EBPF_SHARED */
	HELPER_ATTACH,   /* program `index`; with the directory of the sessions' cgroups where it
			  * needs one. No failure when it is attached */
	HELPER_DETACH,   /* all programs but those in the set `id` */
	HELPER_TAG,      /* a pidfd comes along */
	HELPER_WATCH,    /* the directory of a cgroup comes along */
	HELPER_UNWATCH,  /* the cgroup `id` */
	HELPER_SETTLE,   /* forgets cgroups of sessions that are no more */
	HELPER_SWEEP,    /* tells of files that moved, and of those that were closed unseen */
};

struct helper_request {
	uint32_t type, number; /* the reply has the same number */
	uint32_t index, zero;
	uint32_t session, generation; /* of the tag that events bear */
	uint64_t id;
};

struct helper_reply {
	int32_t result;   /* 0 or a negative errno; -EPERM: another user's, or no such thing */
	uint32_t number;  /* 0: of its start */
	char reason[364]; /* of a failure */
	uint32_t version; /* RECORD_VERSION; of its start only */
};

/* --- helper.c: the program ---------------------------------------------------------------------
 */

/* Serves until the socket ends. Returns 0, or a negative errno when it was not started as it must
 * be. */
int helper_serve(int sock);

/* --- helper_client.c: whoever started it -------------------------------------------------------
 */

struct helper_client {
	int sock; /* -1: there is none */
	uint32_t number;
	uint64_t told_at; /* monotonic ms: since when it owes an answer that nobody waits for, or 0
			   */
	bool lost;        /* it does not answer any more */
};

/* Starts the helper that stands beside the running program, or where reeve is installed, if it is
 * of the same version. It is no child of this process, and ends with the socket. `e` says what a
 * person can do when there is none that could help. */
int helper_start(struct helper_client *h, struct error *e);

/* It was started, but may not load: says why. */
int helper_refuse(struct error *e);

/* Asks and waits. `fd` (-1: none) goes along; with a good reply come `n` descriptors. Returns the
 * reply's result; -EPIPE when the helper has ended or does not answer. `reply` may be NULL. */
int helper_ask(struct helper_client *h, struct helper_request *rq, int fd, int *fds, size_t n,
	       struct helper_reply *reply);

/* Asks and does not wait; what comes of it is not told. It is done before whatever is asked later.
 * A helper that has answered nothing for HELPER_ASK_MS is lost. Waits, as helper_ask() does, only
 * where the socket has no room for one more request. */
void helper_tell(struct helper_client *h, struct helper_request *rq);

/* Passes over the replies that have come to what was told. To be called when the socket can be
 * read, so that the helper is not held up. False when the helper has ended: it is lost. */
bool helper_drain(struct helper_client *h);
