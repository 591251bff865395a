/* SPDX-License-Identifier: Apache-2.0 */
#include "client/http.h"
#include "base/fd.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#define CONNECT_TIMEOUT_S 30 /* while the backlog is full */
#define REQUEST_HEAD_MAX  (64U * KiB)

struct http_client {
	int fd;
	int timeout_ms; /* for the next bytes of an answer; -1: none */
	bool waiting;   /* a request was sent whose head has not come */
	bool in_body;
	bool close; /* no further request is possible */
	struct http_head head;
	struct http_body body;
	size_t start, end; /* of what is in `buffer` */
	char head_text[HTTP_HEAD_MAX];
	char buffer[64 * KiB];
};

int http_connect(const char *socket_path, struct error *e)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = CONNECT_TIMEOUT_S };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int r;

	if (fd < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "socket");
	if (strlen(socket_path) >= sizeof(address.sun_path))
		return error_set(e, ERROR_INVALID_ARGUMENT, "%s: too long for a socket",
				 socket_path);
	strcpy(address.sun_path, socket_path);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = errno == EAGAIN ? -ETIMEDOUT : -errno;
		error_set_errno(e, ERROR_UNAVAILABLE, r, "connect to %s", socket_path);
		return r;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "%s: SO_PEERCRED", socket_path);
	if (peer.uid != geteuid())
		return error_set(e, ERROR_FORBIDDEN, "%s is served by another user (uid %u)",
				 socket_path, peer.uid);
	return take_fd(&fd);
}

int http_client_from_fd(int fd, struct http_client **ret)
{
	struct http_client *c = malloc(sizeof(*c)); /* its buffers need not be touched */

	if (!c) {
		fd_close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	c->timeout_ms = -1;
	c->waiting = c->in_body = c->close = false;
	c->start = c->end = 0;
	c->body.phase = HTTP_BODY_DONE;
	c->body.trailers.n_headers = 0;
	*ret = c;
	return 0;
}

int http_client_open(const char *socket_path, struct http_client **ret, struct error *e)
{
	int fd = http_connect(socket_path, e);

	if (fd < 0)
		return fd;
	if (http_client_from_fd(fd, ret) < 0)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "connect to %s", socket_path);
	return 0;
}

struct http_client *http_client_close(struct http_client *c)
{
	if (c) {
		fd_close(c->fd);
		free(c);
	}
	return NULL;
}

int http_client_fd(const struct http_client *c)
{
	return c->fd;
}

void http_client_set_timeout(struct http_client *c, int timeout_ms)
{
	c->timeout_ms = timeout_ms;
}

static int broken(struct http_client *c, struct error *e, int errnum, const char *step)
{
	c->close = true;
	if (errnum == EAGAIN) {
		error_set(e, ERROR_UNAVAILABLE, "the daemon does not answer");
		return -ETIMEDOUT;
	}
	if (errnum == EPROTO) {
		error_set(e, ERROR_INTERNAL, "the daemon's answer is malformed (%s)", step);
		return -EPROTO;
	}
	error_set(e, ERROR_UNAVAILABLE, "the connection to the daemon broke (%s)", step);
	return -ECONNRESET;
}

int http_format_head(struct buffer *b, const struct http_request *rq)
{
	int r = buffer_printf(b, "%s %s HTTP/1.1\r\nHost: reeve\r\n", rq->method, rq->target);

	if (r == 0 && rq->headers)
		r = buffer_append_text(b, rq->headers);
	if (r == 0 && rq->body)
		r = buffer_printf(b, "Content-Type: %s\r\nContent-Length: %zu\r\n",
				  rq->content_type ? rq->content_type : "application/json",
				  rq->body_size);
	return r < 0 ? r : buffer_append_text(b, "\r\n");
}

/* Sends two pieces. A peer that has closed is no error yet: it may have answered before. */
static int send_all(int fd, struct iovec piece[2])
{
	struct msghdr message = { .msg_iov = piece, .msg_iovlen = 2 };

	while (message.msg_iovlen > 0) {
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE ? 0 : -errno;
		while (message.msg_iovlen > 0 && (size_t)n >= message.msg_iov->iov_len) {
			n -= (ssize_t)message.msg_iov->iov_len;
			message.msg_iov++;
			message.msg_iovlen--;
		}
		if (message.msg_iovlen > 0) {
			message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + n;
			message.msg_iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int http_client_send(struct http_client *c, const struct http_request *rq, struct error *e)
{
	_cleanup_(buffer_done) struct buffer head = { 0 };
	struct iovec pieces[2];
	const char *rest;
	size_t n;
	int r;

	while (c->in_body) {
		r = http_client_body(c, &rest, &n, e);
		if (r < 0)
			return r;
	}
	if (c->close)
		return broken(c, e, ECONNRESET, "sending");
	buffer_init(&head, REQUEST_HEAD_MAX);
	r = http_format_head(&head, rq);
	if (r < 0)
		return error_set_errno(e, ERROR_TOO_LARGE, r, "%s request", rq->method);
	pieces[0] = (struct iovec){ head.data, head.size };
	pieces[1] = (struct iovec){ (void *)rq->body, rq->body_size };
	r = send_all(c->fd, pieces);
	if (r < 0)
		return broken(c, e, -r, "sending");
	c->waiting = true;
	return 0;
}

/* By poll(2), since who sleeps in recv(2) is woken already when the daemon has read the request. */
static bool await_input(const struct http_client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	int r = poll(&p, 1, c->timeout_ms);

	if (r == 0)
		errno = EAGAIN;
	return r > 0;
}

/* Reads what there is behind what the buffer holds. -EAGAIN with MSG_DONTWAIT in `flags`. */
static int fill(struct http_client *c, int flags, struct error *e, const char *step)
{
	ssize_t n;

	if (c->start == c->end)
		c->start = c->end = 0;
	if (c->end == sizeof(c->buffer)) {
		memmove(c->buffer, c->buffer + c->start, c->end - c->start);
		c->end -= c->start;
		c->start = 0;
	}
	do {
		n = -1;
		if (flags == MSG_DONTWAIT || await_input(c))
			n = recv(c->fd, c->buffer + c->end, sizeof(c->buffer) - c->end, flags);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN && flags == MSG_DONTWAIT)
		return -EAGAIN;
	if (n <= 0)
		return broken(c, e, n == 0 ? ECONNRESET : errno, step);
	c->end += (size_t)n;
	return 0;
}

int http_client_head(struct http_client *c, const struct http_head **ret, struct error *e)
{
	int n, r;

	if (!c->waiting)
		return broken(c, e, EPROTO, "no request");
	do {
		for (;;) {
			n = http_head_size(c->buffer + c->start, c->end - c->start);
			if (n < 0)
				return broken(c, e, EPROTO, "head");
			if (n > 0)
				break;
			r = fill(c, 0, e, "waiting for the answer");
			if (r < 0)
				return r;
		}
		memcpy(c->head_text, c->buffer + c->start, (size_t)n);
		c->start += (size_t)n;
		if (http_head_parse(c->head_text, (size_t)n, &c->head) < 0)
			return broken(c, e, EPROTO, "head");
	} while (c->head.status < 200 && c->head.status != 101);
	c->waiting = false;
	c->close = c->head.close || c->head.status == 101;
	http_body_init(&c->body, &c->head);
	c->in_body = c->body.phase != HTTP_BODY_DONE;
	*ret = &c->head;
	return 0;
}

static int read_body(struct http_client *c, int flags, const char **ret, size_t *ret_size,
		     struct error *e)
{
	while (c->in_body) {
		const char *at = c->buffer + c->start;
		size_t left = c->end - c->start;
		int r = http_body_next(&c->body, &at, &left, ret, ret_size);

		if (r < 0) {
			c->in_body = false;
			return broken(c, e, EPROTO, "body");
		}
		c->start = c->end - left;
		c->in_body = c->body.phase != HTTP_BODY_DONE;
		if (r > 0)
			return 1;
		if (c->in_body) {
			r = fill(c, flags, e, "in the middle of the answer");
			c->in_body = r == 0 || r == -EAGAIN;
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int http_client_body(struct http_client *c, const char **ret, size_t *ret_size, struct error *e)
{
	return read_body(c, 0, ret, ret_size, e);
}

int http_client_body_now(struct http_client *c, const char **ret, size_t *ret_size, struct error *e)
{
	return read_body(c, MSG_DONTWAIT, ret, ret_size, e);
}

int http_client_body_all(struct http_client *c, struct buffer *b, struct error *e)
{
	const char *piece;
	size_t n;
	int r;

	while ((r = http_client_body(c, &piece, &n, e)) > 0) {
		r = buffer_append(b, piece, n);
		if (r < 0) {
			c->close = true;
			return error_set_errno(e, ERROR_TOO_LARGE, r, "the daemon's answer");
		}
	}
	return r;
}

const char *http_client_trailer(const struct http_client *c, const char *name)
{
	return c->in_body ? NULL : http_head_find(&c->body.trailers, name);
}

bool http_client_reusable(const struct http_client *c)
{
	return !c->close && !c->waiting && !c->in_body;
}

int http_client_take_socket(struct http_client *c, const void **ret, size_t *ret_size)
{
	*ret = c->buffer + c->start;
	*ret_size = c->end - c->start;
	return take_fd(&c->fd);
}
