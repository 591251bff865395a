/* SPDX-License-Identifier: Apache-2.0 */
#include "client/daemon.h"
#include "base/fd.h"
#include "base/parse.h"
#include "core/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOCK_TEXT_MAX 128U
#define TAIL_MAX      (64U * KiB)

/* Reads "PID STARTTIME[ parked]"; leaves zeros when it is not that. */
static bool parse_lock(const char *text, struct daemon_status *ret)
{
	unsigned long long start;
	char word[16] = "";
	int pid;

	if (sscanf(text, "%d %llu %15s", &pid, &start, word) < 2 || pid <= 0)
		return false;
	ret->pid = pid;
	ret->start_time = start;
	ret->state = strcmp(word, "parked") == 0 ? DAEMON_PARKED : DAEMON_RUNNING;
	return true;
}

static bool is_alive(const struct daemon_status *s)
{
	struct proc_stat st;

	return proc_stat_read(s->pid, &st) == 0 && st.start == s->start_time &&
	       !proc_stat_dead(&st);
}

/* Whether somebody holds the lock. Taking it for a moment could turn away a keeper that is just
 * starting, so this is asked only when the pid in the file does not answer the question. */
static bool is_locked(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK;
	flock(fd, LOCK_UN);
	return false;
}

/* Who listens on the socket, for a lock that does not say it: removed by a cleaner, or not written
 * because the disk was full. The kernel names the process that began to listen: the keeper, if
 * none has replaced it since. */
static void ask_socket(const struct paths *paths, struct daemon_status *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	struct proc_stat st;

	if (fd < 0 || strlen(paths->socket) >= sizeof(sa.sun_path))
		return;
	strcpy(sa.sun_path, paths->socket);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid())
		return;
	s->lockless = s->state == DAEMON_STOPPED;
	s->state = DAEMON_RUNNING;
	if (proc_stat_read(peer.pid, &st) < 0 || proc_stat_dead(&st) ||
	    strcmp(st.comm, "reeve-keeper") != 0)
		return;
	s->pid = peer.pid;
	s->start_time = st.start;
}

int daemon_probe(const struct paths *paths, struct daemon_status *ret, struct error *e)
{
	_cleanup_(closep) int fd = open(paths->lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct daemon_status s = { .state = DAEMON_STOPPED };
	char text[LOCK_TEXT_MAX];
	ssize_t n;
	bool known;

	if (fd < 0 && errno != ENOENT)
		return error_set_errno(e, ERROR_INTERNAL, errno, "open %s", paths->lock);
	n = fd < 0 ? 0 : fd_read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return error_set_errno(e, ERROR_INTERNAL, (int)-n, "read %s", paths->lock);
	text[n] = '\0';
	known = parse_lock(text, &s);
	if (fd >= 0 && !(known && is_alive(&s))) {
		if (is_locked(fd))
			s.state = DAEMON_RUNNING; /* starting, or an engine without its keeper */
		else
			s.state = known ? DAEMON_STALE : DAEMON_STOPPED;
	}
	if (!known)
		ask_socket(paths, &s);
	*ret = s;
	return 0;
}

void daemon_forget(const struct paths *paths)
{
	_cleanup_(closep) int fd = open(paths->lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(fd, 0) == 0)
		unlink(paths->socket);
}

int daemon_log_tail(const struct paths *paths, unsigned lines, char **ret)
{
	_cleanup_(closep) int fd = open(paths->log, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *text = calloc(1, TAIL_MAX + 1);
	struct stat st = { 0 };
	ssize_t n = 0;
	char *at;

	if (!text)
		return -ENOMEM;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		off_t from = st.st_size > (off_t)TAIL_MAX ? st.st_size - (off_t)TAIL_MAX : 0;

		n = pread(fd, text, TAIL_MAX, from);
	}
	at = text + (n > 0 ? n : 0);
	/* a line's end behind the last line is none of those that are counted */
	for (unsigned seen = 0; at > text; at--)
		if (at[-1] == '\n' && at < text + n && ++seen == lines)
			break;
	memmove(text, at, strlen(at) + 1);
	*ret = take(text);
	return 0;
}
