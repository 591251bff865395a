/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/probe_serve.h"
#include "base/fd.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* A group of its own, so that it is killed together with what it has begun. */
static int settle_in(int sock)
{
	const struct rlimit none = { 0 };

	(void)setsid();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "reeve-probe");
	(void)signal(SIGPIPE, SIG_IGN);
	if (close_range((unsigned)MAX(sock, 2) + 1, ~0U, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}

static int probe_one(int sock, struct probe_request *rq, int cgroup_dir)
{
	const struct backend *b;
	struct probe_answer answer;

	memset(&answer, 0, sizeof(answer));
	rq->backend[PROBE_NAME_MAX - 1] = '\0';
	support_set(answer.by, (1U << REEVE_CATEGORIES) - 1, REEVE_UNAVAILABLE, "not seen by it");
	b = backend_find(rq->backend);
	if (!b)
		return -EPROTO;
	b->probe((enum reeve_scope)rq->scope, cgroup_dir, answer.by);
	return fd_send(sock, &answer, sizeof(answer), NULL, 0);
}

int probe_serve(int sock)
{
	int r = settle_in(sock);

	while (r >= 0) {
		struct probe_request rq;
		size_t n_fds = 0;
		int fd = -1;
		ssize_t n = fd_recv(sock, &rq, sizeof(rq), &fd, 1, &n_fds);

		if (n == -EINTR)
			continue;
		if (n != sizeof(rq))
			return n < 0 ? (int)n : 0;
		fd = n_fds > 0 ? fd : -1;
		r = probe_one(sock, &rq, fd);
		fd_close(fd);
	}
	return r;
}
