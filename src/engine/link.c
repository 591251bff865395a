/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - the engine's side of the private socket, and the replacement of a keeper that died. */
#include "base/fd.h"
#include "base/log.h"
#include "core/kept.h"
#include "core/pty.h"
#include "engine/observe.h"
#include "engine/session.h"
#include "engine/typing.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS 10000

/* Waits for one message of the type; others that come before it are dropped: they only say "look",
 * and everything is looked at after the start. */
static int await(struct engine *e, uint32_t type, struct link_message *m, int table[N_LINK_FDS])
{
	for (;;) {
		struct pollfd p = { .fd = e->link.sock, .events = POLLIN };
		int r = poll(&p, 1, ANSWER_MS);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -ETIMEDOUT;
		r = link_receive(e->link.sock, m, table);
		if (r == -EAGAIN || r == -EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? r : -EPIPE;
		if (m->type == type)
			return 0;
		if (m->type == LINK_QUIT)
			e->quitting = m->arg == QUIT_KEEP ? QUIT_KEEP : QUIT_STOP;
		if (m->type == LINK_PING)
			link_tell(e, LINK_PONG, 0, 0);
		link_close_fds(table);
	}
}

static int map_control(struct engine *e, struct error *err)
{
	e->memory = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 e->daemon_fds[DAEMON_FD_CONTROL], 0);
	if (e->memory == MAP_FAILED)
		return error_set_errno(err, ERROR_EXHAUSTED, errno, "map control memory");
	e->daemon = control_daemon(e->memory);
	if (word_load(&e->daemon->magic) != CONTROL_MAGIC ||
	    word_load(&e->daemon->version) != CONTROL_VERSION)
		return error_set(err, ERROR_INTERNAL,
				 "control memory is of version %llu, this engine reads %u",
				 (unsigned long long)word_load(&e->daemon->version),
				 CONTROL_VERSION);
	word_hook_role(e->memory, ROLE_ENGINE);
	return 0;
}

/* Should it die, its successor has to be the same program, whatever lies at its path by then. */
static void keep_program(struct engine *e)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)e->link.keeper);
	e->keeper_file = open(path, O_PATH | O_CLOEXEC);
}

int link_open(struct engine *e, int sock, struct error *err)
{
	struct link_message m = { .type = LINK_HELLO, .slot = link_version };
	int table[N_LINK_FDS], r;

	fcntl(sock, F_SETFD, FD_CLOEXEC);
	fd_set_nonblock(sock, true);
	e->link.sock = sock;
	r = link_send(sock, &m, NULL);
	if (r >= 0)
		r = await(e, LINK_WELCOME, &m, table);
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "ask the keeper for the daemon");
	for (unsigned i = 0; i < N_DAEMON_FDS; i++)
		e->daemon_fds[i] = take_fd(&table[i]);
	link_close_fds(table);
	if (m.slot != link_version)
		return error_set(err, ERROR_INTERNAL,
				 "the keeper that runs is of version %u, this engine of %u: `reeve "
				 "daemon stop` ends it with its sessions, and the next start takes "
				 "the programs that are installed",
				 m.slot, link_version);
	e->link.keeper = getppid();
	keep_program(e);
	return map_control(e, err);
}

int link_pull(struct engine *e, unsigned slot, int fds[N_SLOT_FDS])
{
	struct link_message m = { .type = LINK_PULL, .slot = slot };
	int table[N_LINK_FDS];
	int r = link_send(e->link.sock, &m, NULL);

	if (r >= 0)
		r = await(e, LINK_SLOT, &m, table);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		fds[i] = take_fd(&table[i]);
	link_close_fds(table);
	return m.slot == slot ? 0 : -EPROTO;
}

int link_fetch(struct engine *e, unsigned place, int *ret_fd)
{
	struct link_message m = { .type = LINK_FETCH, .arg = place };
	int table[N_LINK_FDS];
	int r = link_send(e->link.sock, &m, NULL);

	if (r >= 0)
		r = await(e, LINK_KEPT, &m, table);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&table[KEPT_FD]);
	link_close_fds(table);
	return 0;
}

/* --- a keeper that replaces a dead one pulls everything from us
 * --------------------------------------- */

static void give_daemon(struct engine *e, uint32_t version)
{
	struct link_message m = { .type = LINK_WELCOME, .slot = link_version };
	int table[N_LINK_FDS];

	for (unsigned i = 0; version == link_version && i < N_DAEMON_FDS; i++) {
		table[i] = e->daemon_fds[i];
		if (table[i] >= 0)
			m.fds |= 1U << i;
	}
	link_tell_fds(e, &m, table);
}

static void give_slot(struct engine *e, unsigned slot)
{
	struct link_message m = { .type = LINK_SLOT, .slot = slot };
	struct session *s = slot < CONTROL_SLOTS ? e->slots[slot] : NULL;
	int table[N_LINK_FDS];

	_cleanup_(closep) int slave = -1;

	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		table[i] = s ? s->fds[i] : -1;
	if (s && session_is_pty(s)) {
		table[SLOT_FD_IN] = -1;
		if (s->fds[SLOT_FD_OUT] >= 0 && !output_leader_over(s))
			slave = pty_open_slave(s->fds[SLOT_FD_OUT]);
		table[SLOT_FD_SLAVE] = slave;
	}
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		if (table[i] >= 0)
			m.fds |= 1U << i;
	link_tell_fds(e, &m, table);
}

static void give_kept(struct engine *e, uint64_t place)
{
	struct link_message m = { .type = LINK_KEPT, .arg = place };
	int table[N_LINK_FDS];

	table[KEPT_FD] = observe_kept(e, place);
	if (table[KEPT_FD] >= 0)
		m.fds = 1U << KEPT_FD;
	link_tell_fds(e, &m, table);
}

static void keeper_gone(struct engine *e);

static void update_slot(struct engine *e, const struct link_message *m, int table[N_LINK_FDS])
{
	unsigned slot = m->slot;
	struct session *s = slot < CONTROL_SLOTS ? e->slots[slot] : NULL;

	if (!s)
		return;
	if (table[SLOT_FD_PID] >= 0) {
		fd_close(s->fds[SLOT_FD_PID]);
		s->fds[SLOT_FD_PID] = take_fd(&table[SLOT_FD_PID]);
	}
	if (table[SLOT_FD_LISTENER] >= 0) {
		fd_close(s->fds[SLOT_FD_LISTENER]);
		s->fds[SLOT_FD_LISTENER] = take_fd(&table[SLOT_FD_LISTENER]);
	} else if (m->fds & 1U << SLOT_FD_LISTENER) {
		s->lost_listener = true;
	}
	session_update(s, m->arg == 1);
}

static void update_all(struct engine *e)
{
	for (unsigned i = 1; i < CONTROL_SLOTS; i++)
		if (e->slots[i]) {
			session_update(e->slots[i], true);
			if (e->slots[i])
				session_resume(e->slots[i]);
		}
}

/* The socket's name was removed. Whoever connected before is served first. */
static void listen_on(struct engine *e, int fd)
{
	if (fd < 0 || !e->http)
		return;
	e->stop_listening(e);
	if (dup3(fd, e->daemon_fds[DAEMON_FD_LISTEN], O_CLOEXEC) < 0)
		log_error("take another socket: %s", strerror(errno));
	e->listen_again(e);
}

static void obey(struct engine *e, const struct link_message *m, int table[N_LINK_FDS])
{
	switch (m->type) {
	case LINK_CHANGED:
		update_slot(e, m, table);
		break;
	case LINK_PING:
		link_tell(e, LINK_PONG, 0, 0);
		break;
	case LINK_LOOKED:
		if (m->slot < CONTROL_SLOTS && e->slots[m->slot])
			typing_answered(e->slots[m->slot], (enum tty_wait)(uint32_t)m->arg,
					m->arg >> 32);
		break;
	case LINK_QUIT:
		engine_quit(e, m->arg == QUIT_KEEP ? QUIT_KEEP : QUIT_STOP);
		break;
	case LINK_HELLO:
		give_daemon(e, m->slot);
		break;
	case LINK_PULL:
		give_slot(e, m->slot);
		break;
	case LINK_FETCH:
		give_kept(e, m->arg);
		break;
	case LINK_LISTEN:
		listen_on(e, table[LISTEN_FD]);
		break;
	case LINK_LENT:
		observe_lent(e, m->slot, take_fd(&table[LENT_FD]));
		break;
	case LINK_READY:
		/* What we said to the keeper before it may never have heard. */
		update_all(e);
		observe_ask_again(e);
		break;
	default:
		break;
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct engine *e = poll->data;

	(void)events;
	for (int i = 0; i < 64 && e->link.sock >= 0; i++) {
		struct link_message m;
		int table[N_LINK_FDS];
		int r = status < 0 ? -EPIPE : link_receive(e->link.sock, &m, table);

		if (r == -EAGAIN || r == -EINTR)
			return;
		/* The keeper has what a slot lacks here: a successor needs no pidfd of ours, and
		 * without its listener a command is refused at its gate. Without what was to be
		 * lent a call is told of with less. */
		if (r == -EMFILE && (m.type == LINK_CHANGED || m.type == LINK_LENT))
			r = 1;
		if (r <= 0) {
			keeper_gone(e);
			return;
		}
		obey(e, &m, table);
		link_close_fds(table);
	}
}

static int start_polling(struct engine *e)
{
	int r = uv_poll_init(&e->loop, &e->link.poll, e->link.sock);

	if (r < 0)
		return r;
	e->link.poll.data = e;
	e->link.polling = true;
	return uv_poll_start(&e->link.poll, UV_READABLE, on_readable);
}

int link_run(struct engine *e)
{
	int r;

	link_tell(e, LINK_READY, 0, 0);
	r = start_polling(e);
	observe_ask_again(e); /* before, answers would have been dropped */
	return r;
}

static int start_keeper(struct engine *e)
{
	bool reads = e->reads_fd >= 0;
	char *argv[] = { (char *)"reeve-keeper", (char *)"--dir",
			 (char *)e->dir,         (char *)"--adopt",
			 (char *)LINK_SOCKET,    reads ? (char *)"--reads" : NULL,
			 (char *)LINK_READS,     NULL };
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
		/* Twice, so that the keeper is not the child of a process that it is to replace. */
		if (fork() != 0)
			_exit(0);
		setsid();
		if (link_inherit(pair[1], e->reads_fd) >= 0)
			(void)link_execute(e->keeper_file, e->keeper_path, argv);
		_exit(127);
	}
	close(pair[1]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_set_nonblock(pair[0], true);
	e->link.sock = pair[0];
	return 0;
}

static void restart_closed(uv_handle_t *handle)
{
	struct engine *e = handle->data;
	int r = start_keeper(e);

	if (r >= 0)
		r = start_polling(e);
	if (r < 0) {
		/* Without a keeper nothing is safe. The roster lets the next start clean up. */
		log_error("cannot start a keeper: %s", strerror(-r));
		abort();
	}
}

static void keeper_gone(struct engine *e)
{
	if (e->quitting != QUIT_NOT) {
		direct_stop(&e->direct, &e->loop);
		return;
	}
	log_warn("the keeper is gone; starting another");
	e->link.sock = fd_close(e->link.sock);
	e->link.polling = false;
	uv_poll_stop(&e->link.poll);
	uv_close((uv_handle_t *)&e->link.poll, restart_closed);
}

/* --- sending
 * ------------------------------------------------------------------------------------------ */

int link_tell_fds(struct engine *e, const struct link_message *m, const int table[N_LINK_FDS])
{
	int r;

	if (e->link.sock < 0)
		return -EPIPE;
	do {
		r = link_send(e->link.sock, m, table);
		if (r == -EAGAIN || r == -ETOOMANYREFS) {
			/* The keeper never blocks: it takes this within microseconds. */
			struct pollfd p = { .fd = e->link.sock, .events = POLLOUT };

			poll(&p, 1, r == -EAGAIN ? 1000 : 1);
		}
	} while (r == -EAGAIN || r == -EINTR || r == -ETOOMANYREFS);
	return r;
}

void link_tell(struct engine *e, enum link_type type, unsigned slot, uint64_t arg)
{
	struct link_message m = { .type = type, .slot = slot, .arg = arg };

	link_tell_fds(e, &m, NULL);
}
