/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pipes.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

uint64_t pipe_fill(int fd)
{
	int k = 0;

	if (ioctl(fd, FIONREAD, &k) < 0 || k < 0)
		return 0;
	return (uint64_t)k;
}

uint64_t pipe_empty(int fd)
{
	char waste[4096];
	uint64_t k = pipe_fill(fd), total = k;

	/* Counted before, not by the reads: a packet's rest is dropped by a short read. */
	while (k > 0) {
		ssize_t n = read(fd, waste, sizeof(waste));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		k = pipe_fill(fd);
	}
	return total;
}

static int set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int pipe_make(int ret[2], int nonblock_read, int nonblock_write, unsigned size)
{
	int fds[2], r = 0;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	if (nonblock_read)
		r = set_nonblock(fds[0]);
	if (r == 0 && nonblock_write)
		r = set_nonblock(fds[1]);
	if (r < 0) {
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (size > 0)
		fcntl(fds[1], F_SETPIPE_SZ, size);
	ret[0] = fds[0];
	ret[1] = fds[1];
	return 0;
}
