/* SPDX-License-Identifier: Apache-2.0 */
/* The programs at functions of the kernel: attached together, held by a process of their own. */
#include "base/fd.h"
#include "base/orphan.h"
#include "observe/ebpf.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS       (EBPF_FUNCTIONS + 1)
#define HOLDER_NAME "reeve-functions"

/* --- who holds the links -----------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors but these. */
static void close_others(int *kept, size_t n)
{
	unsigned from = 0;

	qsort(kept, n, sizeof(*kept), compare);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned)kept[i] > from)
			(void)close_range(from, (unsigned)kept[i] - 1, 0);
		from = (unsigned)kept[i] + 1;
	}
	(void)close_range(from, ~0U, 0);
}

/* Of all that was open it keeps the links, and the socket by which it sees that nobody needs them.
 */
static void hold(int sock, const void *links)
{
	int kept[LINKS + 1];
	char byte;

	(void)prctl(PR_SET_NAME, HOLDER_NAME);
	memcpy(kept, links, LINKS * sizeof(*kept));
	kept[LINKS] = sock;
	close_others(kept, LINKS + 1);
	while (read(sock, &byte, 1) < 0 && errno == EINTR)
		;
}

/* --- attaching ---------------------------------------------------------------------------------
 */

int ebpf_functions_attach(const int fds[N_EBPF_FDS])
{
	int links[LINKS], r = 0;
	unsigned n = 0;

	for (; r >= 0 && n < LINKS; n += r >= 0) {
		r = ebpf_attach_function(n == 0 ? fds[EBPF_PROGRAM_FUNCTIONS]
						: fds[EBPF_FUNCTION + n - 1]);
		if (r >= 0)
			links[n] = r;
	}
	if (r >= 0)
		r = orphan_start(SOCK_STREAM, hold, links);
	while (n > 0)
		fd_close(links[--n]);
	return r;
}

bool ebpf_functions_are_held(int sock)
{
	char byte;

	return recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

int ebpf_functions_prove(const struct control *control)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	fd_close(fd);
	return (__atomic_load_n(&control->seen, __ATOMIC_ACQUIRE) & (OWN_OPEN | OWN_CLOSE)) ==
			       (OWN_OPEN | OWN_CLOSE)
		       ? 0
		       : -ENODATA;
}
