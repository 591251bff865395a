/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/outlet.h"
#include "base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define KEPT_MIN (64U * 1024U)

/* A description of our own of the same pipe or terminal. */
static int open_anew(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void outlet_open(struct outlet *o, int fd)
{
	struct stat st;

	*o = (struct outlet){ .fd = fd };
	if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode))
		return;
	o->socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !isatty(fd)) {
		o->small = !o->socket && !S_ISCHR(st.st_mode);
		return;
	}
	o->fd = open_anew(fd);
	o->own = o->fd >= 0;
	if (!o->own) {
		o->fd = fd;
		o->small = true;
	}
}

void outlet_close(struct outlet *o)
{
	if (o->own)
		close(o->fd);
	free(o->kept);
	*o = (struct outlet){ .fd = -1 };
}

static ssize_t write_some(struct outlet *o, const uint8_t *bytes, size_t n)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	if (o->socket)
		return send(o->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (o->small) {
		if (poll(&p, 1, 0) <= 0) {
			errno = EAGAIN;
			return -1;
		}
		n = MIN(n, (size_t)PIPE_BUF);
	}
	return write(o->fd, bytes, n);
}

/* As much as is taken now. After an error: all of it. */
static size_t push(struct outlet *o, const uint8_t *bytes, size_t n)
{
	size_t done = 0;

	while (done < n && o->error == 0) {
		ssize_t k = write_some(o, bytes + done, n - done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			return done;
		if (k < 0)
			o->error = errno;
		else
			done += (size_t)k;
	}
	return o->error ? n : done;
}

static int keep(struct outlet *o, const uint8_t *bytes, size_t n)
{
	size_t held = outlet_kept(o);

	if (o->end + n > o->size && o->start > 0) {
		memmove(o->kept, o->kept + o->start, held);
		o->start = 0;
		o->end = held;
	}
	if (o->end + n > o->size) {
		size_t doubled = MAX(2 * o->size, (size_t)KEPT_MIN);
		size_t size = MAX(held + n, doubled);
		uint8_t *larger = realloc(o->kept, size);

		if (!larger)
			return -ENOMEM;
		o->kept = larger;
		o->size = size;
	}
	memcpy(o->kept + o->end, bytes, n);
	o->end += n;
	return 0;
}

long outlet_flush(struct outlet *o)
{
	size_t done = outlet_kept(o) > 0 ? push(o, o->kept + o->start, outlet_kept(o)) : 0;

	o->start += done;
	if (o->start == o->end)
		o->start = o->end = 0;
	return (long)done;
}

long outlet_write(struct outlet *o, const uint8_t *bytes, size_t n)
{
	long before = outlet_kept(o) > 0 ? outlet_flush(o) : 0;
	size_t done = outlet_kept(o) > 0 ? 0 : push(o, bytes, n);

	if (done < n && keep(o, bytes + done, n - done) < 0)
		return -ENOMEM;
	return before + (long)done;
}
