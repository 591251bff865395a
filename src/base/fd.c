/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/fd.h"
#include "base/buffer.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif

int fd_close(int fd)
{
	int saved = errno;

	/* Linux has closed it whatever close(2) returns: never twice. */
	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

void closep(int *fd)
{
	*fd = fd_close(*fd);
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) == !on)
		return 0;
	if (fcntl(fd, F_SETFL, flags ^ O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int fd_write_all(int fd, const void *p, size_t n)
{
	const char *next = p;

	while (n > 0) {
		ssize_t written = write(fd, next, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		if (written == 0)
			return -EIO;
		next += written;
		n -= (size_t)written;
	}
	return 0;
}

ssize_t fd_read_full(int fd, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, (char *)p + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int fd_read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(buffer_done) struct buffer b;
	_cleanup_(closep) int fd = -1;
	size_t size;
	int r;

	/* One byte more than wanted tells a file that is too large. */
	buffer_init(&b, max < SIZE_MAX ? max + 1 : max);
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	for (;;) {
		size_t room = MIN((size_t)(4 * KiB), b.max - b.size);
		ssize_t got;

		if (b.size > max)
			return -EFBIG;
		r = buffer_reserve(&b, room);
		if (r < 0)
			return r;
		got = fd_read_full(fd, b.data + b.size, room);
		if (got < 0)
			return (int)got;
		if (got == 0)
			break;
		b.size += (size_t)got;
		buffer_terminate(&b);
	}
	size = b.size;
	r = buffer_take(&b, ret);
	if (r < 0)
		return r;
	if (ret_size)
		*ret_size = size;
	return 0;
}

int fd_read_file(const char *path, size_t max, char **ret, size_t *ret_size)
{
	return fd_read_file_at(AT_FDCWD, path, max, ret, ret_size);
}

/* Room for one SCM_RIGHTS message, aligned as cmsg(3) asks. */
union control {
	char bytes[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
	struct cmsghdr align;
};

int fd_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = { 0 };
	ssize_t sent;

	if (n == 0 || n_fds > FD_PASS_MAX)
		return -EINVAL;
	if (n_fds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == n ? 0 : -EMSGSIZE;
}

/* Collects the descriptors of a message, at most FD_PASS_MAX: `control` has no room for more. */
static size_t collect_fds(struct msghdr *msg, int fds[FD_PASS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds + n, CMSG_DATA(c), count * sizeof(int));
		n += count;
	}
	return n;
}

ssize_t fd_recv(int sock, void *data, size_t max, int *fds, size_t max_fds, size_t *ret_n_fds)
{
	struct iovec iov = { .iov_base = data, .iov_len = max };
	union control control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int got[FD_PASS_MAX];
	size_t n_got;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	n_got = collect_fds(&msg, got);
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n_got > max_fds) {
		for (size_t i = 0; i < n_got; i++)
			fd_close(got[i]);
		return (msg.msg_flags & MSG_TRUNC) || n_got > max_fds ? -EMSGSIZE : -EMFILE;
	}
	if (n_got > 0)
		memcpy(fds, got, n_got * sizeof(int));
	if (ret_n_fds)
		*ret_n_fds = n_got;
	return n;
}

int fd_memfd(const char *name, uint64_t size)
{
	_cleanup_(closep) int fd = -1;

	if (size > INT64_MAX)
		return -EFBIG;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	return take_fd(&fd);
}

int fd_seal(int fd)
{
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

int fd_raise_nofile(uint64_t *ret_limit)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur != limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			return -errno;
	}
	if (ret_limit)
		*ret_limit = limit.rlim_cur;
	return 0;
}
