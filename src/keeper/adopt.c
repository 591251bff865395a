/* SPDX-License-Identifier: Apache-2.0 */
/* adopt.c - the engine lives, the keeper before is dead: its successor takes everything over. The
 * children are not ours: they were given to init, which reaps them. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "keeper/setup.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ADOPT_MS 10000

/* What the engine says meanwhile about descriptors is true of those that it has given and of those
 * that it has yet to give. All else is in the words, and looked for there when all is adopted. */
static void obey_early(struct keeper *k, const struct link_message *m, int table[N_LINK_FDS])
{
	if (m->type == LINK_KEEP)
		engine_keep(k, m->arg, table);
	if (m->slot == 0 || m->slot >= CONTROL_SLOTS)
		return;
	if (m->type == LINK_CLOSE)
		slot_close_fds(k, m->slot, (uint32_t)m->arg);
	else if (m->type == LINK_RELEASE)
		slot_release(k, m->slot);
	else if (m->type == LINK_HOLD)
		slot_take_fds(k, m->slot, table);
}

/* Waits for the engine's next message of the wanted type. */
static int await(struct keeper *k, uint32_t type, struct link_message *m, int table[N_LINK_FDS])
{
	for (;;) {
		struct pollfd p = { .fd = k->engine.sock, .events = POLLIN };
		int r;

		if (poll(&p, 1, ADOPT_MS) <= 0)
			return -ETIMEDOUT;
		r = link_receive(k->engine.sock, m, table);
		if (r == -EAGAIN)
			continue;
		if (r <= 0)
			return r < 0 ? r : -EPIPE;
		if (m->type == type)
			return 0;
		obey_early(k, m, table);
		link_close_fds(table);
	}
}

/* Whether the pid is still that of the slot's child, which may not have come to its mark yet. */
static bool is_child(struct control_slot *s, pid_t pid)
{
	struct proc_stat st;
	uint64_t mark;

	if (proc_mark(pid, &mark) >= 0 && mark == word_load(&s->mark))
		return true;
	return proc_stat_read(pid, &st) >= 0 && strcmp(st.comm, SPAWNER_NAME) == 0;
}

/* Only the engine's copy of a leader's pidfd has outlived the keeper before, and it may not have
 * got one yet. */
static void find_leader(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	struct holding *h = &k->slots[slot];
	pid_t pid = slot_pid(s);
	int fd;

	if (slot_holds(k, slot, SLOT_FD_PID) || pid <= 0)
		return;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return;
	if (!is_child(s, pid)) {
		close(fd);
		return;
	}
	h->fds[SLOT_FD_PID] = fd;
	h->held |= 1U << SLOT_FD_PID;
	h->send_pid = true;
}

static void adopt_slot(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	uint64_t spawn = word_load(&s->spawn);

	if (spawn == SPAWN_FAILED)
		return;
	if (word_load(&s->exit.ready)) {
		slot_close_fds(k, slot, 1U << SLOT_FD_PID);
	} else {
		find_leader(k, slot);
		k->slots[slot].adopted = true;
		k->adopted = true;
	}
	if (spawn != SPAWN_STARTED)
		spawning_adopt(k, slot);
	if (word_load(&s->spawn) != SPAWN_FAILED)
		stopper_adopt(k, slot);
	signals_send(k, slot);
	if (k->slots[slot].send_pid)
		slot_changed(k, slot);
}

/* It dies with its keeper, but not at once: until it has ended it may still make a child. */
static void end_spawner(struct keeper *k)
{
	pid_t pid = (pid_t)word_load(&k->daemon->spawner_pid);
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct proc_stat st;

	if (fd < 0)
		return;
	if (proc_stat_read(pid, &st) >= 0 && strcmp(st.comm, SPAWNER_NAME) == 0 &&
	    syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
		poll(&p, 1, SPAWN_MS);
	close(fd);
}

static int adopt_slots(struct keeper *k)
{
	for (unsigned i = 1; i < CONTROL_SLOTS; i++) {
		struct link_message m = { .type = LINK_PULL, .slot = i };
		int table[N_LINK_FDS], r;

		if (word_load(&keeper_slot(k, i)->state) != SLOT_LIVE)
			continue;
		r = engine_send(k, &m, NULL);
		if (r >= 0)
			r = await(k, LINK_SLOT, &m, table);
		if (r < 0)
			return r;
		slot_take_fds(k, i, table);
		link_close_fds(table);
	}
	/* The engine's socket may bring news of slots only now. */
	for (unsigned i = 1; i < CONTROL_SLOTS; i++)
		if (word_load(&keeper_slot(k, i)->state) == SLOT_LIVE)
			adopt_slot(k, i);
	return 0;
}

/* What the engine named to be kept; in most daemons there is nothing. */
static int adopt_kept(struct keeper *k)
{
	for (unsigned i = 0; i < KEPT_MAX && (i == 0 || k->kept[0] > 0); i++) {
		struct link_message m = { .type = LINK_FETCH, .arg = i };
		int table[N_LINK_FDS];
		int r = engine_send(k, &m, NULL);

		if (r >= 0)
			r = await(k, LINK_KEPT, &m, table);
		if (r < 0)
			return r;
		engine_keep(k, i, table);
		link_close_fds(table);
	}
	return 0;
}

int setup_adopt(struct keeper *k, int sock, struct error *e)
{
	struct link_message m = { .type = LINK_HELLO, .slot = link_version };
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	int table[N_LINK_FDS], r;

	log_set(2, log_level_from_env(LEVEL_INFO), "reeve-keeper");
	k->engine.sock = sock;
	fcntl(sock, F_SETFD, FD_CLOEXEC);
	if (k->reads_fd >= 0)
		fcntl(k->reads_fd, F_SETFD, FD_CLOEXEC);
	fd_set_nonblock(sock, true);
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "adopt: ask for the engine's pid");
	k->engine.pid = peer.pid;
	k->engine.pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	k->engine.heard = clock_monotonic_ms();
	k->engine.ready = true;
	program_keep(k, peer.pid);
	r = engine_send(k, &m, NULL);
	if (r >= 0)
		r = await(k, LINK_WELCOME, &m, table);
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "adopt: the engine's descriptors");
	if (m.slot != link_version)
		return error_set(e, ERROR_INTERNAL,
				 "adopt: the engine is of version %u, this keeper of %u", m.slot,
				 link_version);
	for (unsigned i = 0; i < N_DAEMON_FDS; i++)
		k->daemon_fds[i] = take_fd(&table[i]);
	link_close_fds(table);
	r = setup_map_control(k, e);
	if (r < 0)
		return r;
	end_spawner(k);
	word_store(&k->daemon->keeper_pid, (uint64_t)getpid());
	setup_write_lock(k);
	r = adopt_slots(k);
	if (r >= 0)
		r = adopt_kept(k);
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "adopt the slots");
	m = (struct link_message){ .type = LINK_READY };
	engine_send(k, &m, NULL);
	socket_check(k);
	log_info("took over the sessions of a keeper that died");
	return 0;
}
