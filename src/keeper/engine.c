/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - the engine process as the keeper sees it: start, obey, watch, replace. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "keeper/keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BACKOFF_MIN_MS 100U
#define BACKOFF_MAX_MS 10000U
#define STEADY_MS      1000U /* an engine that crashes sooner will most likely do it again */
/* Two engines that crash by themselves at the same slot condemn it. A SIGKILL may have come from
 * anywhere (a person, the kernel short of memory), so it takes more of those. */
#define BLAME_CRASH  5U
#define BLAME_KILLED 1U
#define BLAME_MAX    10U

int engine_send(struct keeper *k, const struct link_message *m, const int table[N_LINK_FDS])
{
	if (k->engine.sock < 0)
		return -EPIPE;
	return link_send(k->engine.sock, m, table);
}

static _Noreturn void exec_engine(struct keeper *k, int sock)
{
	bool reads = k->reads_fd >= 0;
	char *argv[] = { (char *)"reeved",    (char *)"--dir",
			 (char *)k->dir,      (char *)"--keeper",
			 (char *)LINK_SOCKET, reads ? (char *)"--reads" : NULL,
			 (char *)LINK_READS,  NULL };
	sigset_t none;
	int r;

	if (link_inherit(sock, k->reads_fd) < 0)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	r = program_execute(k, argv);
	log_error("cannot run %s: %s", k->engine_path, strerror(-r));
	_exit(127);
}

void engine_start_due(struct keeper *k)
{
	struct engine_process *e = &k->engine;
	uint64_t now = clock_monotonic_ms();
	int pair[2];
	pid_t pid;

	if (e->pid != 0 || e->start_at == 0 || now < e->start_at)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		e->start_at = now + BACKOFF_MAX_MS;
		return;
	}
	fd_set_nonblock(pair[0], true);
	pid = fork();
	if (pid == 0)
		exec_engine(k, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		log_error("cannot fork an engine: %s", strerror(errno));
		e->start_at = now + BACKOFF_MAX_MS;
		return;
	}
	*e = (struct engine_process){
		.pid = pid,
		.pidfd = (int)syscall(SYS_pidfd_open, pid, 0),
		.sock = pair[0],
		.child = true,
		.started = now,
		.heard = now,
		.early_deaths = e->early_deaths,
		.gone = e->gone,
	};
	word_store(&k->daemon->engine_pid, (uint64_t)pid);
}

/* One of another version is told so, and gets nothing. */
static void send_welcome(struct keeper *k, uint32_t version)
{
	struct link_message m = { .type = LINK_WELCOME, .slot = link_version };
	int table[N_LINK_FDS];

	for (unsigned i = 0; version == link_version && i < N_DAEMON_FDS; i++) {
		table[i] = k->daemon_fds[i];
		if (table[i] >= 0)
			m.fds |= 1U << i;
	}
	engine_send(k, &m, table);
}

/* The engine goes on: what it loaded last did it no harm. */
static void slot_loaded(struct keeper *k)
{
	unsigned slot = (unsigned)word_load(&k->daemon->loading);

	if (slot > 0 && slot < CONTROL_SLOTS && word_load(&keeper_slot(k, slot)->load_deaths) != 0)
		word_store(&keeper_slot(k, slot)->load_deaths, 0);
}

static void give_slot(struct keeper *k, unsigned slot)
{
	struct link_message m = { .type = LINK_SLOT, .slot = slot };
	struct holding *h = &k->slots[slot];
	int table[N_LINK_FDS];

	slot_loaded(k);
	word_store(&k->daemon->loading, slot);
	/* Nothing of a quarantined slot goes over: its record is enough to list it. */
	m.fds = h->held;
	if (word_load(&keeper_slot(k, slot)->quarantined))
		m.fds = 0;
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		table[i] = h->held & 1U << i ? h->fds[i] : -1;
	if (engine_send(k, &m, table) < 0)
		log_warn("slot %u could not be handed over", slot);
}

/* False when the engine asks again for what was begun: it cannot know what became of a request that
 * it sent to a keeper before this one. What was cancelled without a trace begins anew. */
static bool may_begin(struct control_slot *s)
{
	uint64_t spawn = word_load(&s->spawn);

	if (spawn == SPAWN_NONE)
		return true;
	if (spawn != SPAWN_FAILED || word_load(&s->fail) != ECANCELED)
		return false;
	word_store(&s->spawn, SPAWN_NONE); /* first: the next keeper would leave what has failed */
	word_store(&s->pid, 0);
	word_store(&s->step, STEP_NONE);
	word_store(&s->fail, 0);
	return true;
}

static void begin_spawn(struct keeper *k, unsigned slot, int table[N_LINK_FDS])
{
	struct control_slot *s = keeper_slot(k, slot);

	if (table[SLOT_FD_SPEC] >= 0 && !may_begin(s))
		return;
	slot_release(k, slot);
	slot_take_fds(k, slot, table);
	if (table[SLOT_FD_SPEC] < 0)
		return; /* nothing to run: a record of a session that is over */
	if (spawning_begin(k, slot, table))
		return;
	word_store(&s->fail, EAGAIN);
	word_store(&s->spawn, SPAWN_FAILED);
	slot_changed(k, slot);
}

/* The engine is no ancestor of the children; where only those may look, the keeper does. */
static void look_at_terminal(struct keeper *k, const struct link_message *m)
{
	struct link_message answer = { .type = LINK_LOOKED, .slot = m->slot };
	uint64_t before = clock_processor_us();

	answer.arg = tty_wait_look(&k->groups, (pid_t)(m->arg & 0xffffffff), m->arg >> 32,
				   k->daemon_fds[DAEMON_FD_CGROUP],
				   (uint32_t)word_load(&keeper_slot(k, m->slot)->cgroup));
	answer.arg |= (clock_processor_us() - before) << 32;
	engine_send(k, &answer, NULL);
}

static void obey_ready(struct keeper *k)
{
	slot_loaded(k);
	word_store(&k->daemon->loading, 0);
	k->engine.ready = true;
	k->engine.gone = 0;
	program_serves(k);
	socket_check(k);
}

static void obey_quit(struct keeper *k, uint64_t mode)
{
	k->quitting = mode == QUIT_KEEP ? QUIT_KEEP : QUIT_STOP;
}

void engine_keep(struct keeper *k, uint64_t place, int table[N_LINK_FDS])
{
	if (place >= KEPT_MAX)
		return;
	fd_close(k->kept[place] - 1);
	k->kept[place] = take_fd(&table[KEPT_FD]) + 1;
}

static void give_kept(struct keeper *k, uint64_t place)
{
	struct link_message m = { .type = LINK_KEPT, .arg = place };
	int table[N_LINK_FDS];

	if (place < KEPT_MAX && k->kept[place] > 0) {
		m.fds = 1U << KEPT_FD;
		table[KEPT_FD] = k->kept[place] - 1;
	}
	engine_send(k, &m, table);
}

/* What concerns the daemon and not one slot. Returns whether the message was of that kind. */
static bool obey_daemon(struct keeper *k, const struct link_message *m, int table[N_LINK_FDS])
{
	switch (m->type) {
	case LINK_HELLO:
		send_welcome(k, m->slot);
		return true;
	case LINK_READY:
		obey_ready(k);
		return true;
	case LINK_QUIT:
		obey_quit(k, m->arg);
		return true;
	case LINK_KEEP:
		engine_keep(k, m->arg, table);
		return true;
	case LINK_FETCH:
		give_kept(k, m->arg);
		return true;
	case LINK_BORROW:
		lending_ask(k, m);
		return true;
	default:
		return m->type == LINK_PONG;
	}
}

static void obey(struct keeper *k, const struct link_message *m, int table[N_LINK_FDS])
{
	if (obey_daemon(k, m, table) || m->slot == 0 || m->slot >= CONTROL_SLOTS)
		return;
	switch (m->type) {
	case LINK_PULL:
		give_slot(k, m->slot);
		break;
	case LINK_SPAWN:
		begin_spawn(k, m->slot, table);
		break;
	case LINK_STOP:
		stopper_begin(k, m->slot);
		break;
	case LINK_SIGNAL:
		signals_send(k, m->slot);
		break;
	case LINK_CLOSE:
		slot_close_fds(k, m->slot, (uint32_t)m->arg);
		break;
	case LINK_RELEASE:
		slot_release(k, m->slot);
		break;
	case LINK_OPEN_GATE:
		if (m->arg == 0)
			spawning_open_gate(k, m->slot);
		else
			spawning_refuse(k, m->slot, (int)m->arg);
		break;
	case LINK_LOOK:
		look_at_terminal(k, m);
		break;
	case LINK_HOLD:
		slot_take_fds(k, m->slot, table);
		break;
	default:
		break;
	}
}

void engine_readable(struct keeper *k)
{
	while (k->engine.sock >= 0) {
		struct link_message m;
		int table[N_LINK_FDS];
		int r = link_receive(k->engine.sock, &m, table);

		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r <= 0) {
			/* Gone, or it talks nonsense. Its pidfd tells when it has ended. */
			k->engine.sock = fd_close(k->engine.sock);
			if (r < 0 && k->engine.pidfd >= 0)
				syscall(SYS_pidfd_send_signal, k->engine.pidfd, SIGKILL, NULL, 0);
			return;
		}
		k->engine.heard = clock_monotonic_ms();
		k->engine.pinged = 0;
		obey(k, &m, table);
		link_close_fds(table);
	}
}

/* Settles how far the slot being loaded is to blame for the end of its engine. */
static void blame_slot(struct keeper *k, bool crashed)
{
	unsigned slot = (unsigned)word_load(&k->daemon->loading);
	struct control_slot *s;
	uint64_t blame;

	if (slot == 0 || slot >= CONTROL_SLOTS)
		return;
	s = keeper_slot(k, slot);
	blame = word_load(&s->load_deaths) +
		(crashed || k->engine.hung ? BLAME_CRASH : BLAME_KILLED);
	word_store(&s->load_deaths, blame);
	if (blame >= BLAME_MAX) {
		word_store(&s->quarantined, 1);
		log_error("slot %u ends each engine that loads it: quarantined", slot);
	}
	word_store(&k->daemon->loading, 0);
}

/* None but for one that was not yet ready, or crashes as soon as it is. */
static uint64_t restart_delay(struct engine_process *e, bool crashed)
{
	uint64_t delay;

	if (e->ready && (!crashed || clock_monotonic_ms() - e->started > STEADY_MS)) {
		e->early_deaths = 0;
		return 0;
	}
	e->early_deaths++;
	delay = BACKOFF_MIN_MS << (e->early_deaths < 7 ? e->early_deaths - 1 : 7);
	return delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS;
}

void engine_died(struct keeper *k, bool crashed)
{
	struct engine_process *e = &k->engine;
	uint64_t delay;

	engine_readable(k); /* what it had said before */
	log_info("engine %d %s%s", (int)e->pid, crashed ? "crashed" : "ended",
		 e->ready ? "" : " before it was ready");
	blame_slot(k, crashed);
	delay = !e->ready && program_give_up(k) ? 0 : restart_delay(e, crashed);
	e->sock = fd_close(e->sock);
	e->pidfd = fd_close(e->pidfd);
	e->pid = 0;
	if (e->gone == 0)
		e->gone = clock_monotonic_ms();
	e->ready = false;
	k->lent_lost = false;
	word_store(&k->daemon->engine_pid, 0);
	e->start_at = k->quitting == QUIT_NOT ? clock_monotonic_ms() + delay : 0;
	for (unsigned i = 1; i <= k->top_slot; i++)
		k->slots[i].send_pid = false; /* the next engine pulls it with the slot */
}

void engine_check(struct keeper *k, uint64_t now)
{
	struct engine_process *e = &k->engine;
	struct link_message ping = { .type = LINK_PING };

	if (e->pid == 0)
		return;
	if (e->pinged == 0) {
		if (now - e->heard >= PING_MS) {
			engine_send(k, &ping, NULL);
			socket_check(k);
			e->pinged = now;
		}
		return;
	}
	if (now - e->pinged < PONG_MS)
		return;
	log_error("engine %d has not answered for %u s: killed", (int)e->pid, PONG_MS / 1000);
	e->hung = true;
	if (e->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, e->pidfd, SIGKILL, NULL, 0);
	e->pinged = now;
}
