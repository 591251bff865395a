/* SPDX-License-Identifier: Apache-2.0 */
#include "draw/wire.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

static int wait_for(int sock, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = sock, .events = events };
		uint64_t now = clock_monotonic_ms();
		int n;

		if (now >= deadline)
			return -ETIME;
		n = poll(&p, 1, (int)MIN(deadline - now, (uint64_t)INT_MAX));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* What a call on the socket has said: 0 to try again. */
static int after_failure(ssize_t n, int sock, short events, uint64_t deadline)
{
	if (n == 0 || errno == EPIPE || errno == ECONNRESET)
		return -EPIPE;
	if (errno == EINTR)
		return 0;
	return errno == EAGAIN ? wait_for(sock, events, deadline) : -errno;
}

static int send_all(int sock, const void *p, size_t n, uint64_t deadline)
{
	const char *from = p;
	int r = 0;

	while (n > 0 && r >= 0) {
		ssize_t sent = send(sock, from, n, MSG_NOSIGNAL);

		if (sent > 0) {
			from += sent;
			n -= (size_t)sent;
		} else {
			r = after_failure(sent, sock, POLLOUT, deadline);
		}
	}
	return r;
}

static int receive_all(int sock, void *p, size_t n, uint64_t deadline)
{
	char *to = p;
	int r = 0;

	while (n > 0 && r >= 0) {
		ssize_t got = recv(sock, to, n, 0);

		if (got > 0) {
			to += got;
			n -= (size_t)got;
		} else {
			r = after_failure(got, sock, POLLIN, deadline);
		}
	}
	return r;
}

int screen_send(int sock, const struct screen_input *in, unsigned parts, uint64_t deadline)
{
	struct screen_request rq = {
		.record = in->record,
		.n = in->n,
		.parts = parts,
		.rows = in->rows,
		.cols = in->cols,
		.at_head = in->at_head,
	};
	int r = send_all(sock, &rq, sizeof(rq), deadline);

	if (r >= 0)
		r = send_all(sock, in->contents, in->record.size, deadline);
	return r < 0 ? r : send_all(sock, in->bytes, in->n, deadline);
}

static int receive_part(int sock, size_t n, struct buffer *b, uint64_t deadline)
{
	int r = buffer_reserve(b, n);

	if (r >= 0)
		r = receive_all(sock, b->data, n, deadline);
	if (r < 0)
		return r;
	b->size = n;
	buffer_terminate(b);
	return 0;
}

int screen_receive(int sock, struct screen_shot *shot, uint64_t deadline)
{
	struct buffer *const parts[] = { &shot->restore, &shot->text, &shot->ansi };
	struct screen_reply reply;
	int r = receive_all(sock, &reply, sizeof(reply), deadline);

	if (r < 0)
		return r;
	if (reply.result != 0)
		return reply.result == -ENOMEM || reply.result == -EFBIG ? reply.result : -EPROTO;
	if (reply.row >= shot->rows || reply.col >= shot->cols)
		return -EPROTO;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (reply.sizes[i] > SCREEN_PART_MAX)
			return -EPROTO;
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++)
		r = receive_part(sock, reply.sizes[i], parts[i], deadline);
	if (r < 0)
		return r;
	shot->row = reply.row;
	shot->col = reply.col;
	return 0;
}
