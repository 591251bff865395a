/* SPDX-License-Identifier: Apache-2.0 */
/* socket.c - the API's listening socket: made at the start, and again when its name is gone.
 *
 * A bound socket cannot get its name back, so there is a new one. Engine and keeper have to agree
 * on which it is, whoever of them dies meanwhile: its inode is stored, then the engine gets it,
 * then it gets its name. A keeper that finds another inode under the name, or none, begins anew. */
#include "base/fd.h"
#include "base/log.h"
#include "keeper/keeper.h"
#include "keeper/setup.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
#define NAME    "api.sock"
#define FRESH   "api.new" /* shorter: where the one fits, so does the other */

static int address(const struct keeper *k, const char *name, struct sockaddr_un *ret)
{
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", k->dir, name);
	return n < (int)sizeof(ret->sun_path) ? 0 : -ENAMETOOLONG;
}

/* Whether somebody listens there now. */
static bool answers(const struct sockaddr_un *sa)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN;
}

/* The same, but one that is just ending gets a moment for it. */
static bool is_served(const struct sockaddr_un *sa)
{
	for (int i = 0; i < 20; i++) {
		if (!answers(sa))
			return false;
		poll(NULL, 0, 5);
	}
	return true;
}

static int listen_at(const struct sockaddr_un *sa, int *ret_fd)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	unlink(sa->sun_path);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 || listen(fd, BACKLOG) < 0
		    ? -errno
		    : 0;
	umask(mask);
	if (r >= 0)
		*ret_fd = take_fd(&fd);
	return r;
}

/* 0 when there is no socket. */
static uint64_t inode_of(const struct sockaddr_un *sa)
{
	struct stat st;

	return lstat(sa->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

/* The link count changes when the name goes, and nothing else costs a wake-up. */
static void watch(struct keeper *k, const struct sockaddr_un *sa)
{
	fd_close(k->socket_watch);
	k->socket_watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (k->socket_watch >= 0 &&
	    inotify_add_watch(k->socket_watch, sa->sun_path,
			      IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF) < 0)
		k->socket_watch = fd_close(k->socket_watch);
}

int socket_make(struct keeper *k, struct error *e)
{
	struct sockaddr_un sa;
	int r;

	if (address(k, NAME, &sa) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "socket path %s/" NAME " is longer than 107 bytes; "
				 "set REEVE_DIR to a shorter directory",
				 k->dir);
	/* We hold the lock, so whoever made it is dead; or the lock is a new one, because that of a
	 * living daemon was removed. */
	if (is_served(&sa))
		return error_set(e, ERROR_ALREADY_EXISTS,
				 "already running: %s answers, although its lock was removed; "
				 "`reeve daemon stop` ends it",
				 sa.sun_path);
	r = listen_at(&sa, &k->daemon_fds[DAEMON_FD_LISTEN]);
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "bind %s", sa.sun_path);
	word_store(&k->daemon->socket_ino, inode_of(&sa));
	watch(k, &sa);
	return 0;
}

/* An engine that is not there to take it is waited for: clients may be in the old one's backlog. */
static int hand_over(struct keeper *k, int fd)
{
	struct link_message m = { .type = LINK_LISTEN, .fds = 1U << LISTEN_FD };
	int table[N_LINK_FDS];

	if (k->parked)
		return 0;
	table[LISTEN_FD] = fd;
	return engine_send(k, &m, table);
}

static int replace(struct keeper *k, const struct sockaddr_un *sa)
{
	_cleanup_(closep) int fd = -1;
	struct sockaddr_un fresh;
	int r = address(k, FRESH, &fresh);

	if (r >= 0)
		r = listen_at(&fresh, &fd);
	if (r < 0)
		return r;
	word_store(&k->daemon->socket_ino, inode_of(&fresh));
	r = hand_over(k, fd);
	if (r < 0) {
		unlink(fresh.sun_path);
		return r;
	}
	fd_close(k->daemon_fds[DAEMON_FD_LISTEN]);
	k->daemon_fds[DAEMON_FD_LISTEN] = take_fd(&fd);
	return rename(fresh.sun_path, sa->sun_path) < 0 ? -errno : 0;
}

void socket_check(struct keeper *k)
{
	struct sockaddr_un sa;
	uint64_t inode;
	int r;

	if (!(k->engine.ready || k->parked) || k->quitting != QUIT_NOT || address(k, NAME, &sa) < 0)
		return;
	inode = inode_of(&sa);
	if (inode != 0 && inode == word_load(&k->daemon->socket_ino)) {
		if (k->socket_watch < 0)
			watch(k, &sa);
		return;
	}
	if (inode != 0 && answers(&sa))
		return; /* another daemon's: it began when this one could not be seen */
	r = replace(k, &sa);
	if (r < 0) {
		log_warn("%s is gone and cannot be made again: %s", sa.sun_path, strerror(-r));
		return;
	}
	log_warn("%s was removed; made again", sa.sun_path);
	watch(k, &sa);
}

void socket_event(struct keeper *k)
{
	char buffer[sizeof(struct inotify_event) + NAME_MAX + 1];

	while (read(k->socket_watch, buffer, sizeof(buffer)) > 0)
		;
	socket_check(k);
}

void socket_remove(struct keeper *k)
{
	struct sockaddr_un sa;

	if (address(k, NAME, &sa) == 0 && inode_of(&sa) == word_load(&k->daemon->socket_ino))
		unlink(sa.sun_path);
}
