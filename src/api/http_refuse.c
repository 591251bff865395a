/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_internal.h"
#include "base/fd.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SWEEP_MS  20U
#define LINGER_MS 1000U
#define READS_MAX 16U /* of one connection in one sweep */

/* Throws away what the client sends. False: there will be no more of it. */
static bool drain(int fd)
{
	char bin[16 * KiB];

	for (unsigned i = 0; i < READS_MAX; i++) {
		ssize_t n = recv(fd, bin, sizeof(bin), MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
	}
	return true;
}

/* Unread input would turn the close into an error at the other end. */
static void let_go(int fd)
{
	drain(fd);
	fd_close(fd);
}

static void sweep(uv_timer_t *timer)
{
	struct refuser *f = container_of(timer, struct refuser, timer);
	uint64_t now = uv_now(timer->loop);

	for (unsigned i = 0; i < f->n;) {
		if (drain(f->waiting[i].fd) && now < f->waiting[i].until) {
			i++;
		} else {
			fd_close(f->waiting[i].fd);
			f->n--;
			memmove(f->waiting + i, f->waiting + i + 1,
				(f->n - i) * sizeof(f->waiting[0]));
		}
	}
	if (!f->n)
		uv_timer_stop(timer);
}

void refuser_init(struct refuser *f, uv_loop_t *loop)
{
	f->n = 0;
	uv_timer_init(loop, &f->timer);
}

void refuser_done(struct refuser *f)
{
	while (f->n)
		let_go(f->waiting[--f->n].fd);
}

static void linger(struct refuser *f, int fd)
{
	uv_loop_t *loop = f->timer.loop;

	if (f->n == REFUSED_MAX) {
		let_go(f->waiting[0].fd);
		f->n--;
		memmove(f->waiting, f->waiting + 1, f->n * sizeof(f->waiting[0]));
	}
	f->waiting[f->n].fd = fd;
	f->waiting[f->n].until = uv_now(loop) + LINGER_MS;
	f->n++;
	if (f->n == 1)
		uv_timer_start(&f->timer, sweep, SWEEP_MS, SWEEP_MS);
}

void refuser_take(struct refuser *f, int fd, int status, const struct error *e, const char *header)
{
	_cleanup_(freep) char *text = error_text(e, NULL);
	char head[256];
	struct iovec parts[2] = { { .iov_base = head }, { .iov_base = text } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	if (!text) {
		fd_close(fd);
		return;
	}
	parts[1].iov_len = strlen(text);
	parts[0].iov_len = (size_t)snprintf(head, sizeof(head),
					    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
					    "Content-Length: %zu\r\n%sConnection: close\r\n\r\n",
					    status, MHD_get_reason_phrase_for((unsigned)status),
					    parts[1].iov_len, header);
	sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	linger(f, fd);
}

void connection_refuse(struct connection *c, int status, const struct error *e, const char *header)
{
	int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);

	c->used = true;
	if (fd >= 0)
		refuser_take(&c->server->refuser, fd, status, e, header);
}

/* It says nothing, to the client or to us. It closes so, too, when the client has gone, which the
 * socket tells, and when the time is over: not in the first half of it. And it closes so behind an
 * answer, at once or in its next run, in which it may have read a line as well: so only the first
 * line of a connection is answered. */
void connection_refuse_line(struct connection *c)
{
	uint64_t age = uv_now(c->server->loop) - c->since;
	struct error e;
	ssize_t n;
	char byte;

	if (c->used || age > connection_idle_ms(c) / 2)
		return;
	n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return;
	error_set(&e, ERROR_INVALID_ARGUMENT, "malformed request line");
	connection_refuse(c, error_code_http_status(e.code), &e, "");
}

/* --- what libmicrohttpd cannot read ---------------------------------------------------------- */

queue_fn queue_function(void)
{
	return (queue_fn)dlsym(RTLD_NEXT, "MHD_queue_response");
}

/* A head or a chunk that it cannot read libmicrohttpd answers by itself, in HTML, and there is no
 * option for it. But it hands its answer to this public function of its own, and a program's
 * definition comes before a library's (elf(5), DT_SYMBOLIC). Our own answers take the library's, so
 * what comes here is never ours. Where a libmicrohttpd is linked otherwise it answers as it did. */
__attribute__((visibility("default"))) enum MHD_Result
MHD_queue_response(struct MHD_Connection *mhd, unsigned status,
		   struct MHD_Response *response _unused_)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return connection_refuse_unread(info->socket_context, status);
}
