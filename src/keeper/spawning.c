/* SPDX-License-Identifier: Apache-2.0 */
/* spawning.c - the keeper's side of a spawn: jobs given to the spawner, hangs, gates, failures. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/pipes.h"
#include "core/proc.h"
#include "keeper/keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GATE_BIT (1U << N_LINK_FDS)

int spawner_start(struct keeper *k)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0) {
		/* Of the keeper's descriptors it needs only the socket and stderr. */
		int sock = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);

		if (sock != 3)
			sock = dup3(sock, 3, O_CLOEXEC);
		close_range(4, ~0U, 0);
		spawner_main(sock, k->memory);
	}
	close(pair[1]);
	fd_set_nonblock(pair[0], true);
	k->spawner.pid = pid;
	k->spawner.sock = pair[0];
	k->spawner.busy_since = 0;
	word_store(&k->daemon->spawner_pid, (uint64_t)pid);
	return 0;
}

static struct spawn_job *job_of(struct keeper *k, unsigned slot)
{
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k->jobs[i].slot == slot)
			return &k->jobs[i];
	return NULL;
}

static void job_done(struct spawn_job *job)
{
	link_close_fds(job->fds);
	job->gate_r = fd_close(job->gate_r);
	job->gate_w = fd_close(job->gate_w);
	job->slot = 0;
}

static void job_failed(struct keeper *k, struct spawn_job *job)
{
	unsigned slot = job->slot;
	struct control_slot *s = keeper_slot(k, slot);

	job_done(job);
	word_store(&s->spawn, SPAWN_FAILED);
	slot_close_fds(k, slot, ~(1U << SLOT_FD_MEMORY | 1U << SLOT_FD_EVENTS));
	slot_changed(k, slot);
}

/* Only this process reaps a child of its own, so the pid is still its own. */
static void open_pidfd(struct keeper *k, unsigned slot)
{
	struct holding *h = &k->slots[slot];
	int fd;

	if (h->adopted || slot_holds(k, slot, SLOT_FD_PID))
		return;
	fd = (int)syscall(SYS_pidfd_open, slot_pid(keeper_slot(k, slot)), 0);
	if (fd < 0)
		return;
	h->fds[SLOT_FD_PID] = fd;
	h->held |= 1U << SLOT_FD_PID;
}

/* The child waits at its gate, and whoever observes it may begin. */
static void job_gated(struct keeper *k, struct spawn_job *job)
{
	open_pidfd(k, job->slot);
	k->slots[job->slot].send_pid = slot_holds(k, job->slot, SLOT_FD_PID);
	word_store(&keeper_slot(k, job->slot)->spawn, SPAWN_GATED);
	slot_changed(k, job->slot);
}

/* What the child says of its filter: the listener is taken, and is the slot's. False when it ended
 * before it came to that. */
static bool take_listener(struct keeper *k, struct spawn_job *job)
{
	struct control_slot *s = keeper_slot(k, job->slot);
	struct holding *h = &k->slots[job->slot];
	int r = entry_hear(slot_pid(s), job->gate_w);

	job->awaits_filter = false;
	if (r == -ECHILD)
		return false;
	if (r > 0) {
		h->fds[SLOT_FD_LISTENER] = r;
		h->held |= 1U << SLOT_FD_LISTENER;
	}
	word_store(&s->filter, r >= 0 ? 1 : (uint64_t)-r << 32);
	job_gated(k, job);
	return true;
}

static void job_started(struct keeper *k, struct spawn_job *job)
{
	unsigned slot = job->slot;
	struct control_slot *s = keeper_slot(k, slot);
	struct holding *h = &k->slots[slot];

	if (!h->adopted)
		slot_note_pid(k, slot, slot_pid(s));
	open_pidfd(k, slot);
	if (!slot_holds(k, slot, SLOT_FD_PID)) {
		job_done(job); /* for want of descriptors, perhaps */
		open_pidfd(k, slot);
	}
	word_store(&s->started, clock_realtime_ms());
	word_store(&s->spawn, SPAWN_STARTED);
	h->send_pid = slot_holds(k, slot, SLOT_FD_PID);
	signals_send(k, slot);
	slot_changed(k, slot);
	job_done(job); /* last: somebody waits for the word of it */
}

/* Sends the oldest unsent job, if the spawner's queue takes it. One after the other, so that a
 * hang has one culprit. */
static void send_next(struct keeper *k)
{
	struct spawner_request rq = { 0 };
	struct spawn_job *job = NULL;
	int fds[N_LINK_FDS + 1], r;
	size_t n = 0;

	if (k->spawner.busy_since != 0 || k->spawner.sock < 0)
		return;
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k->jobs[i].slot != 0 && !k->jobs[i].sent &&
		    (!job || k->jobs[i].order < job->order))
			job = &k->jobs[i];
	if (!job)
		return;
	rq.slot = job->slot;
	rq.goes_there = job->goes_there;
	for (unsigned i = N_SLOT_FDS; i < N_LINK_FDS; i++)
		if (job->fds[i] >= 0) {
			rq.fds |= 1U << i;
			fds[n++] = job->fds[i];
		}
	if (job->gate_r >= 0) {
		rq.fds |= GATE_BIT;
		fds[n++] = job->gate_r;
	}
	r = fd_send(k->spawner.sock, &rq, sizeof(rq), fds, n);
	if (r < 0) {
		/* The spawner is gone, and its end is about to be noticed: the job stays. */
		log_warn("spawner: %s", strerror(-r));
		return;
	}
	job->sent = true;
	k->spawner.busy_since = clock_monotonic_ms();
}

static void new_job(struct keeper *k, struct spawn_job *job, unsigned slot)
{
	*job = (struct spawn_job){
		.slot = slot, .order = ++k->next_order, .gate_r = -1, .gate_w = -1
	};
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		job->fds[i] = -1;
}

bool spawning_begin(struct keeper *k, unsigned slot, int table[N_LINK_FDS])
{
	struct control_slot *s = keeper_slot(k, slot);
	struct spawn_job *job = job_of(k, 0);

	if (!job)
		return false;
	new_job(k, job, slot);
	for (unsigned i = N_SLOT_FDS; i < N_LINK_FDS; i++)
		job->fds[i] = take_fd(&table[i]);
	if (word_load(&s->flags) & FLAG_GATE) {
		int gate[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) == 0) {
			job->gate_r = gate[0];
			job->gate_w = gate[1];
			job->awaits_filter = (word_load(&s->flags) & FLAG_ENTRY) != 0;
		} else {
			word_store(&s->step, STEP_GATE);
			word_store(&s->fail, EMFILE);
			job_failed(k, job);
			return true;
		}
	}
	word_store(&s->spawn, SPAWN_QUEUED);
	send_next(k);
	return true;
}

/* Whether the child was killed as it was made, as its cgroup had been (spawn.c). */
static bool died_there(struct keeper *k, const struct spawn_job *job)
{
	struct control_slot *s = keeper_slot(k, job->slot);

	return job->fds[SLOT_FD_CGROUP] >= 0 && !job->goes_there && job->gate_w < 0 && job->sent &&
	       job->orphaned == 0 && word_load(&s->fail) == 0 &&
	       word_load(&s->step) == STEP_CLONE && word_load(&s->stop.requested) == 0;
}

/* The spawner has answered, or is known not to: what became of the child? */
static void settle(struct keeper *k, struct spawn_job *job, int result)
{
	struct control_slot *s = keeper_slot(k, job->slot);

	if (result >= 0 && died_there(k, job)) {
		word_store(&s->pid, 0);
		job->goes_there = true;
		job->sent = false; /* it is next */
		return;
	}
	if (result < 0 && slot_pid(s) == 0) {
		word_store(&s->step, STEP_CLONE);
		word_store(&s->fail, (uint64_t)-result);
	}
	/* Without a gate the spawner answers when the child has exec'd or ended. */
	if (word_load(&s->fail) == 0 && job->gate_w < 0 && word_load(&s->step) < STEP_EXEC)
		word_store(&s->fail, ECHILD);
	if (word_load(&s->fail) != 0) {
		job_failed(k, job);
	} else if (job->gate_w >= 0) {
		job->gate_r = fd_close(job->gate_r);
		slot_note_pid(k, job->slot, slot_pid(s));
		if (!job->awaits_filter)
			job_gated(k, job);
	} else {
		job_started(k, job);
	}
}

void spawning_readable(struct keeper *k)
{
	for (;;) {
		struct spawner_reply reply;
		struct spawn_job *job;
		size_t n_fds = 0;
		ssize_t n = fd_recv(k->spawner.sock, &reply, sizeof(reply), NULL, 0, &n_fds);

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n != sizeof(reply)) {
			k->spawner.sock = fd_close(k->spawner.sock);
			if (k->spawner.pid > 0)
				kill(k->spawner.pid, SIGKILL); /* ours, not reaped yet */
			return;
		}
		k->spawner.busy_since = 0;
		job = reply.slot != 0 ? job_of(k, reply.slot) : NULL;
		if (job && job->sent)
			settle(k, job, reply.result);
		send_next(k);
	}
}

void spawning_open_gate(struct keeper *k, unsigned slot)
{
	struct spawn_job *job = job_of(k, slot);

	if (!job || job->gate_w < 0 || job->gate_open)
		return;
	job->gate_open = true;
	if (send(job->gate_w, "g", 1, MSG_NOSIGNAL) < 0)
		log_warn("gate of slot %u: %s", slot, strerror(errno));
}

/* The child tells of its filter; else nobody is at the gate any more: it exec'd or ended. */
void spawning_gate_event(struct keeper *k, struct spawn_job *job)
{
	struct control_slot *s = keeper_slot(k, job->slot);

	if (job->awaits_filter && take_listener(k, job))
		return;
	if (word_load(&s->fail) != 0)
		job_failed(k, job);
	else
		job_started(k, job);
}

/* Whether the child of an unfinished job has exec'd: 1 yes, 0 not yet, -ECHILD: it ended before. A
 * zombie still tells; one that another has reaped had come to its execve, or left the reason why
 * not. */
static int has_execed(struct control_slot *s)
{
	struct proc_stat st;

	if (proc_stat_read(slot_pid(s), &st) < 0)
		return word_load(&s->step) == STEP_EXEC ? 1 : -ECHILD;
	if (!(st.flags & PROC_FORKNOEXEC))
		return 1;
	return proc_stat_dead(&st) ? -ECHILD : 0;
}

static void kill_child(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);

	if (slot_holds(k, slot, SLOT_FD_PID))
		syscall(SYS_pidfd_send_signal, k->slots[slot].fds[SLOT_FD_PID], SIGKILL, NULL, 0);
	else if (slot_pid(s) > 0 && !k->slots[slot].adopted)
		kill(slot_pid(s), SIGKILL); /* ours, not reaped yet */
}

void spawning_refuse(struct keeper *k, unsigned slot, int errnum)
{
	struct spawn_job *job = job_of(k, slot);

	if (!job || job->gate_w < 0 || job->gate_open)
		return;
	kill_child(k, slot);
	word_store(&keeper_slot(k, slot)->step, STEP_GATE);
	word_store(&keeper_slot(k, slot)->fail, (uint64_t)errnum);
	job_failed(k, job);
}

static void abandon(struct keeper *k, struct spawn_job *job)
{
	struct control_slot *s = keeper_slot(k, job->slot);

	log_error("slot %u: %s hangs; its spawner is abandoned", job->slot,
		  spawn_step_name((enum spawn_step)word_load(&s->step)));
	kill_child(k, job->slot);
	word_store(&s->fail, ETIMEDOUT);
	job_failed(k, job);
}

/* The job the spawner was on when it ended. A child that the record names lives on without it; when
 * there is none, nothing has happened and the next spawner gets the job. */
static void settle_orphan(struct keeper *k, struct spawn_job *job, uint64_t now)
{
	struct control_slot *s = keeper_slot(k, job->slot);

	if (slot_pid(s) == 0)
		job->sent = false;
	else if (job->gate_w >= 0)
		settle(k, job, 0);
	else
		job->orphaned = now;
}

/* Nobody will say that the child of an orphaned job has exec'd: looks by itself. */
static void check_orphan(struct keeper *k, struct spawn_job *job, uint64_t now)
{
	struct control_slot *s = keeper_slot(k, job->slot);
	int r = has_execed(s);

	if (r < 0 && word_load(&s->fail) == 0)
		word_store(&s->fail, (uint64_t)-r);
	if (r != 0 || word_load(&s->fail) != 0)
		settle(k, job, 0);
	else if (now - job->orphaned > SPAWN_MS)
		abandon(k, job);
}

/* The job the spawner has and has not answered. */
static struct spawn_job *sent_job(struct keeper *k)
{
	for (unsigned i = 0; i < KEEPER_JOBS; i++) {
		struct spawn_job *job = &k->jobs[i];

		if (job->slot != 0 && job->sent && job->orphaned == 0 &&
		    word_load(&keeper_slot(k, job->slot)->spawn) == SPAWN_QUEUED)
			return job;
	}
	return NULL;
}

static void replace_spawner(struct keeper *k)
{
	int r;

	k->spawner.sock = fd_close(k->spawner.sock);
	k->spawner.pid = 0;
	k->spawner.busy_since = 0;
	r = spawner_start(k);
	if (r < 0)
		log_error("cannot start a spawner: %s", strerror(-r));
	send_next(k);
}

void spawner_died(struct keeper *k)
{
	struct spawn_job *job;

	if (k->spawner.sock >= 0)
		spawning_readable(k); /* what it still said */
	log_warn("spawner %d ended; starting another", (int)k->spawner.pid);
	job = sent_job(k);
	if (job)
		settle_orphan(k, job, clock_monotonic_ms());
	replace_spawner(k);
}

void spawning_held_up(struct keeper *k, uint64_t now, uint64_t ms)
{
	if (k->spawner.busy_since != 0)
		k->spawner.busy_since = MIN(k->spawner.busy_since + ms, now);
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k->jobs[i].orphaned != 0)
			k->jobs[i].orphaned = MIN(k->jobs[i].orphaned + ms, now);
}

void spawning_check(struct keeper *k, uint64_t now)
{
	struct spawn_job *job;

	if (k->spawner.sock < 0 && k->spawner.pid == 0)
		replace_spawner(k);
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k->jobs[i].slot != 0 && k->jobs[i].orphaned != 0)
			check_orphan(k, &k->jobs[i], now);
	if (k->spawner.busy_since == 0 || now - k->spawner.busy_since < SPAWN_MS)
		return;
	job = sent_job(k);
	if (job)
		abandon(k, job);
	kill(k->spawner.pid, SIGKILL); /* ours; reaped as a stranger when it can die */
	replace_spawner(k);
}

int spawning_timeout(const struct keeper *k)
{
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k->jobs[i].slot != 0 && k->jobs[i].orphaned != 0)
			return 10;
	return k->spawner.busy_since != 0 ? 100 : -1;
}

bool spawning_child_ended(struct keeper *k, unsigned slot)
{
	struct spawn_job *job = job_of(k, slot);
	struct control_slot *s = keeper_slot(k, slot);

	if (!job || slot == 0)
		return true;
	if (died_there(k, job)) {
		word_store(&s->pid, 0); /* of none, until the spawner has answered */
		return false;
	}
	/* Ended before the spawner's word arrived: it exec'd and was quick, or failed. */
	if (word_load(&s->fail) == 0 && word_load(&s->step) < STEP_EXEC) {
		word_store(&s->fail, ECHILD); /* killed from outside before its execve */
		job_failed(k, job);
	} else if (job->gate_w >= 0) {
		spawning_gate_event(k, job);
	} else {
		settle(k, job, 0);
	}
	return true;
}

void spawning_adopt(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	struct spawn_job *job = job_of(k, 0);

	if (slot_holds(k, slot, SLOT_FD_PID) && job) {
		/* A gate has closed with the keeper that held it; an open one lets the child go on.
		 */
		new_job(k, job, slot);
		job->orphaned = clock_monotonic_ms();
		word_store(&s->spawn, SPAWN_QUEUED);
		return;
	}
	if (word_load(&s->fail) == 0 && (slot_pid(s) <= 0 || word_load(&s->step) != STEP_EXEC))
		word_store(&s->fail, ECANCELED);
	if (word_load(&s->fail) == 0)
		word_store(&s->started, clock_realtime_ms());
	word_store(&s->spawn, word_load(&s->fail) == 0 ? SPAWN_STARTED : SPAWN_FAILED);
	slot_changed(k, slot);
}
