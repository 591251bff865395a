/* SPDX-License-Identifier: Apache-2.0 */
/* reap.c - the ends of children. The exit words are stored from waitid(WNOWAIT), before the reap,
 * so that a keeper killed in between has told the truth or left the zombie for the next to read. */
#include "base/clock.h"
#include "base/log.h"
#include "core/exitinfo.h"
#include "keeper/keeper.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t micros(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static void store_exit(struct control_slot *s, uint64_t status, const struct rusage *ru)
{
	struct control_exit *x = &s->exit;

	if (word_load(&x->ready))
		return;
	word_store(&x->status, status);
	word_store(&x->at, clock_realtime_ms());
	if (ru) {
		word_store(&x->utime, micros(&ru->ru_utime));
		word_store(&x->stime, micros(&ru->ru_stime));
		word_store(&x->maxrss, (uint64_t)ru->ru_maxrss);
		word_store(&x->minflt, (uint64_t)ru->ru_minflt);
		word_store(&x->majflt, (uint64_t)ru->ru_majflt);
		word_store(&x->inblock, (uint64_t)ru->ru_inblock);
		word_store(&x->oublock, (uint64_t)ru->ru_oublock);
		word_store(&x->nvcsw, (uint64_t)ru->ru_nvcsw);
		word_store(&x->nivcsw, (uint64_t)ru->ru_nivcsw);
	}
	word_store(&x->ready, 1);
}

/* A child may end before the spawner has told that it was made; the record knows. */
static unsigned slot_in_spawn(struct keeper *k, pid_t pid)
{
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k->jobs[i].slot != 0 && slot_pid(keeper_slot(k, k->jobs[i].slot)) == pid)
			return k->jobs[i].slot;
	return 0;
}

/* The streams of which the engine has seen the end: it does not say so while the leader lives. */
static uint32_t ended_streams(struct control_slot *s)
{
	uint32_t set = 0;

	atomic_thread_fence(memory_order_seq_cst); /* after the exit was stored */
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (word_load(&s->streams[i].ended))
			set |= 1U << (SLOT_FD_OUT + i);
	return set;
}

static void leader_ended(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);

	if (word_load(&s->spawn) == SPAWN_STARTED) {
		slot_close_fds(k, slot, 1U << SLOT_FD_PID | ended_streams(s));
		stopper_leader_ended(k, slot);
	} else {
		word_store(&s->tree_gone, 1);
	}
	k->slots[slot].looked = true;
	slot_changed(k, slot);
}

static bool crashed(const siginfo_t *si)
{
	return si->si_code == CLD_EXITED ? si->si_status != 0 : si->si_status != SIGKILL;
}

/* One zombie. waitid() as a system call also gives the resource usage. */
static void reap(struct keeper *k, const siginfo_t *si, const struct rusage *ru)
{
	pid_t pid = si->si_pid;
	unsigned slot = slot_of_pid(k, pid);

	if (slot == 0)
		slot = slot_in_spawn(k, pid);
	if (slot != 0 && !spawning_child_ended(k, slot))
		slot = 0;
	if (slot != 0)
		store_exit(keeper_slot(k, slot), exitinfo_pack(si->si_code, si->si_status), ru);
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOHANG);
	if (slot != 0) {
		slot_forget_pid(k, pid);
		leader_ended(k, slot);
	} else if (pid == k->engine.pid && k->engine.child) {
		engine_died(k, crashed(si));
	} else if (pid == k->spawner.pid) {
		spawner_died(k);
	} else {
		stopper_look(k);
	}
}

void reap_children(struct keeper *k)
{
	for (;;) {
		siginfo_t si = { 0 };
		struct rusage ru = { 0 };

		if (syscall(SYS_waitid, P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT, &ru) < 0 ||
		    si.si_pid == 0)
			return;
		reap(k, &si, &ru);
	}
}

/* How long the kernel is asked for the exit code of a process that another has reaped. */
#define UNKNOWN_AFTER_MS 10000U

static bool has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* What the zombie's stat says, provided that the pid was still the same process's afterwards. */
static int zombie_status(pid_t pid, int pidfd, uint64_t *ret)
{
	uint64_t status;
	int r = exitinfo_from_zombie(pid, &status);

	if (r < 0)
		return r;
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && errno == ESRCH)
		return -ESRCH;
	*ret = status;
	return 0;
}

static void reap_adopted_slot(struct keeper *k, unsigned slot, uint64_t now)
{
	struct control_slot *s = keeper_slot(k, slot);
	struct holding *h = &k->slots[slot];
	uint64_t status;

	if (slot_holds(k, slot, SLOT_FD_PID)) {
		if (!has_ended(h->fds[SLOT_FD_PID]))
			return;
		if (h->ended_seen == 0)
			h->ended_seen = now;
		/* The zombie first, while it is there; then what the kernel keeps with the pidfd.
		 */
		if (zombie_status(slot_pid(s), h->fds[SLOT_FD_PID], &status) < 0 &&
		    exitinfo_from_pidfd(h->fds[SLOT_FD_PID], &status) < 0) {
			if (now - h->ended_seen < UNKNOWN_AFTER_MS)
				return;
			status = EXIT_WORD_UNKNOWN;
		}
	} else {
		status = EXIT_WORD_UNKNOWN;
	}
	store_exit(s, status, NULL);
	leader_ended(k, slot);
}

void reap_adopted(struct keeper *k, uint64_t now)
{
	bool left = false;

	for (unsigned i = 1; i <= k->top_slot; i++) {
		struct control_slot *s = keeper_slot(k, i);

		if (!k->slots[i].adopted || word_load(&s->exit.ready))
			continue;
		if (word_load(&s->spawn) == SPAWN_STARTED)
			reap_adopted_slot(k, i, now);
		left |= !word_load(&s->exit.ready) && word_load(&s->spawn) != SPAWN_FAILED;
	}
	k->adopted = left;
}
