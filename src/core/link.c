/* SPDX-License-Identifier: Apache-2.0 */
#include "core/link.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int link_send(int sock, const struct link_message *m, const int table[N_LINK_FDS])
{
	int fds[N_LINK_FDS];
	size_t n = 0;

	for (unsigned i = 0; i < N_LINK_FDS; i++)
		if (m->fds & 1U << i)
			fds[n++] = table[i];
	return fd_send(sock, m, sizeof(*m), fds, n);
}

void link_close_fds(int table[N_LINK_FDS])
{
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		table[i] = fd_close(table[i]);
}

static int not_received(ssize_t r, const struct link_message *m, struct link_message *ret)
{
	if (r == -EMFILE)
		*ret = *m;
	return r == -EMSGSIZE ? -EBADMSG : (int)r;
}

int link_receive(int sock, struct link_message *ret, int table[N_LINK_FDS])
{
	struct link_message m = { 0 };
	int fds[N_LINK_FDS];
	size_t n_fds = 0, used = 0;
	ssize_t n = fd_recv(sock, &m, sizeof(m), fds, N_LINK_FDS, &n_fds);

	for (unsigned i = 0; i < N_LINK_FDS; i++)
		table[i] = -1;
	if (n < 0)
		return not_received(n, &m, ret);
	/* Nothing at all is the end; an empty message looks the same, but for what it brings. */
	if (n == 0 && n_fds == 0)
		return 0;
	if (n == sizeof(m))
		for (unsigned i = 0; i < N_LINK_FDS; i++)
			if (m.fds & 1U << i && used < n_fds)
				table[i] = fds[used++];
	if (n != sizeof(m) || m.fds >> N_LINK_FDS || used != n_fds ||
	    used != (size_t)__builtin_popcount(m.fds)) {
		for (; used < n_fds; used++)
			fd_close(fds[used]);
		link_close_fds(table);
		return -EBADMSG;
	}
	*ret = m;
	return 1;
}

/* `fd` under this number, for what comes after the execve. */
static int inherit_as(int fd, int number)
{
	int r = fd == number ? fcntl(fd, F_SETFD, 0) : dup2(fd, number);

	return r < 0 ? -errno : 0;
}

int link_inherit(int sock, int reads)
{
	const int first = LINK_SOCKET[0] - '0', second = LINK_READS[0] - '0';
	int r;

	if (reads == first) /* which the socket needs */
		reads = dup(reads);
	r = inherit_as(sock, first);
	if (r >= 0 && reads >= 0)
		r = inherit_as(reads, second);
	close_range((unsigned)(reads >= 0 ? second : first) + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	return r;
}

static bool lies_at(int file, const char *path)
{
	struct stat open_one, named;

	return fstat(file, &open_one) == 0 && stat(path, &named) == 0 &&
	       open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

int link_execute(int file, const char *path, char *const argv[])
{
	char link[32];

	if (file >= 0 && !lies_at(file, path)) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
		execv(link, argv);
		return -errno;
	}
	execv(path, argv);
	return -errno;
}
