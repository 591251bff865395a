/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_internal.h"
#include "base/fd.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#define ACCEPT_BATCH 64U /* connections taken before the loop goes round */
#define PAUSE_MS     50U

static void accept_pause(struct http_server *s)
{
	uv_poll_stop(&s->listen_poll);
	uv_timer_start(&s->pause, server_accept_resume, PAUSE_MS, 0);
}

void server_accept_resume(uv_timer_t *timer)
{
	struct http_server *s = container_of(timer, struct http_server, pause);

	if (s->spare_fd < 0)
		s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!s->quiesced)
		uv_poll_start(&s->listen_poll, UV_READABLE, server_accept_ready);
}

static int accept_fd(const struct http_server *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* No descriptor is left: the spare one is enough to say so. Otherwise the client would wait in the
 * backlog, and the loop would spin. */
static int accept_exhausted(struct http_server *s, int why)
{
	struct error e;
	int fd;

	s->spare_fd = fd_close(s->spare_fd);
	fd = accept_fd(s);
	if (fd >= 0) {
		error_set_errno(&e, ERROR_EXHAUSTED, why, "cannot take a connection");
		refuser_take(&s->refuser, fd, error_code_http_status(e.code), &e, "");
		refuser_done(&s->refuser); /* gives back the descriptors of all that linger */
	}
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return s->spare_fd < 0 ? -EMFILE : fd < 0 ? fd : 0;
}

static void connection_add(struct http_server *s, int fd, pid_t pid)
{
	const struct sockaddr address = { .sa_family = AF_UNIX };
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		fd_close(fd);
		return;
	}
	c->server = s;
	c->fd = fd;
	c->pid = pid;
	c->late = s->n_connections >= s->limits.connections;
	s->arriving = c;
	if (MHD_add_connection(s->daemon, fd, &address, sizeof(address.sa_family)) != MHD_YES) {
		log_warn("a connection could not be taken: no memory");
		free(take(s->arriving));
		return;
	}
	if (c->late)
		MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
					  MIN(s->limits.idle_seconds, LATE_IDLE_SECONDS));
	server_schedule(s);
}

static int accept_one(struct http_server *s)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);
	struct error e;
	int fd = accept_fd(s);

	if (fd == -EINTR || fd == -ECONNABORTED)
		return 0;
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS)
		return accept_exhausted(s, fd);
	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
		error_set(&e, ERROR_FORBIDDEN, "this socket serves user %ld only", (long)geteuid());
		refuser_take(&s->refuser, fd, error_code_http_status(e.code), &e, "");
	} else if (s->n_connections >= s->limits.connections + s->limits.reserved) {
		error_set(&e, ERROR_UNAVAILABLE, "all %u connections are in use",
			  s->limits.connections);
		refuser_take(&s->refuser, fd, error_code_http_status(e.code), &e, "");
	} else {
		connection_add(s, fd, peer.pid);
	}
	return 0;
}

void server_accept_ready(uv_poll_t *poll, int status, int events _unused_)
{
	struct http_server *s = container_of(poll, struct http_server, listen_poll);
	int r = status;

	for (unsigned i = 0; i < ACCEPT_BATCH && r >= 0; i++)
		r = accept_one(s);
	if (r < 0 && r != -EAGAIN) {
		log_warn("accepting pauses: %s", uv_strerror(r));
		accept_pause(s);
	}
}

void http_server_pause(struct http_server *s)
{
	while (accept_one(s) >= 0)
		;
	uv_poll_stop(&s->listen_poll);
	uv_timer_stop(&s->pause);
}

void http_server_resume(struct http_server *s)
{
	server_accept_resume(&s->pause);
}
