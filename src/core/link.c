/* SPDX-License-Identifier: Apache-2.0 */
#include "core/link.h"
#include "base/fd.h"
#include <errno.h>
#include <string.h>

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

int link_receive(int sock, struct link_message *ret, int table[N_LINK_FDS])
{
	struct link_message m;
	int fds[N_LINK_FDS];
	size_t n_fds = 0, used = 0;
	ssize_t n = fd_recv(sock, &m, sizeof(m), fds, N_LINK_FDS, &n_fds);

	for (unsigned i = 0; i < N_LINK_FDS; i++)
		table[i] = -1;
	if (n < 0)
		return n == -EMSGSIZE ? -EBADMSG : (int)n;
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
