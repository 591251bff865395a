/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/orphan.h"
#include "install.h"
#include "observe/bpf/record.h"
#include "observe/helper.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* --- what stands in the way --------------------------------------------------------------------
 */

#define NEARBY    "../libexec/reeve/" HELPER_PROGRAM
#define INSTALLED REEVE_LIBEXEC_DIR "/" HELPER_PROGRAM

_Static_assert(sizeof(INSTALLED) <= PATH_MAX, "it is a path");

/* The first that is there of the places in which the command looks for the keeper, beside which
 * `reeve daemon install --observe` has the helper: beside this program, below the same prefix,
 * where reeve is installed. When none is there, the first of these places. */
static int find_program(char path[PATH_MAX])
{
	static const char *const places[] = { HELPER_PROGRAM, NEARBY };
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(NEARBY));
	char *name;

	if (n < 0)
		return -errno;
	path[n] = '\0';
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		strcpy(name, places[i]);
		if (access(path, F_OK) == 0)
			return 0;
	}
	if (access(INSTALLED, F_OK) == 0)
		strcpy(path, INSTALLED);
	else
		strcpy(name, places[0]);
	return 0;
}

#define REFUSE(...) error_set(e, ERROR_UNAVAILABLE, __VA_ARGS__)

/* Why the helper at `path` has not got its capabilities, or cannot: what nobody could grant away
 * first. */
static int refuse(struct error *e, const char *path)
{
	struct statvfs fs;
	char mark[64];

	if (access(path, F_OK) < 0)
		return REFUSE(
			"needs CAP_BPF and CAP_PERFMON; the helper to which `sudo reeve daemon "
			"install --observe` would grant them is not installed: there is no %s, "
			"nor " INSTALLED,
			path);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return REFUSE("the daemon was started under no_new_privs, where no program gets "
			      "CAP_BPF and CAP_PERFMON: start it from outside, `reeve daemon "
			      "restart`");
	if (prctl(PR_CAPBSET_READ, CAP_BPF) == 0 || prctl(PR_CAPBSET_READ, CAP_PERFMON) == 0)
		return REFUSE("this container or service has no CAP_BPF and CAP_PERFMON in its "
			      "bounding set: whoever starts it has to add them");
	if (getxattr(path, "security.capability", mark, sizeof(mark)) <= 0)
		return REFUSE(
			"needs CAP_BPF and CAP_PERFMON: `sudo reeve daemon install --observe` "
			"grants them");
	if (access(path, X_OK) < 0)
		return REFUSE("this user may not execute %s", path);
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID) != 0)
		return REFUSE(
			"%s is on a file system that is mounted nosuid, where no program gets "
			"CAP_BPF and CAP_PERFMON",
			path);
	return REFUSE(
		"the kernel lets %s load nothing though it was granted CAP_BPF and CAP_PERFMON: "
		"lockdown, a security module or a container's filter of system calls is in the "
		"way",
		path);
}

/* --- its start ---------------------------------------------------------------------------------
 */

static void become_helper(int sock, const void *path)
{
	static char name[] = HELPER_PROGRAM, option[] = "--socket",
		    fd[] = { '0' + HELPER_FD, '\0' };
	char *const argv[] = { name, option, fd, NULL };
	char *const envp[] = { NULL };
	struct helper_reply hello = { 0 };
	int null;

	/* It may be any of those that are given another meaning now. */
	sock = fcntl(sock, F_DUPFD, HELPER_FD + 1);
	null = open("/dev/null", O_RDWR);
	if (sock < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    dup2(sock, HELPER_FD) < 0)
		_exit(1);
	(void)close_range(HELPER_FD + 1, ~0U, 0);
	(void)execve(path, argv, envp);
	hello.result = -errno;
	(void)send(HELPER_FD, &hello, sizeof(hello), MSG_NOSIGNAL);
}

/* --- asking ------------------------------------------------------------------------------------
 */

static int wait_for(int sock, short events, uint64_t deadline)
{
	for (;;) {
		uint64_t now = clock_monotonic_ms();
		struct pollfd p = { .fd = sock, .events = events };
		int n = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0);

		if (n > 0)
			return 0;
		if (n == 0 && now >= deadline)
			return -ETIME;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* The reply to one request; those to requests of a predecessor, who did not wait, are passed over.
 */
static int receive(int sock, uint32_t number, uint64_t deadline, int *fds, size_t max,
		   struct helper_reply *reply)
{
	for (;;) {
		size_t n_fds = 0;
		ssize_t n;
		int r = wait_for(sock, POLLIN, deadline);

		if (r < 0)
			return r;
		n = fd_recv(sock, reply, sizeof(*reply), fds, max, &n_fds);
		if (n == -EINTR || n == -EMSGSIZE || n == -EMFILE || n == -EAGAIN)
			continue;
		if (n <= 0)
			return -EPIPE;
		reply->reason[sizeof(reply->reason) - 1] = '\0';
		if (n == sizeof(*reply) && reply->number == number &&
		    n_fds == (reply->result == 0 ? max : 0))
			return 0;
		for (size_t i = 0; fds && i < n_fds; i++)
			fd_close(fds[i]);
		if (reply->number == number)
			return -EPROTO;
	}
}

/* 0 is the number of no request. */
static void set_number(struct helper_client *h, struct helper_request *rq)
{
	rq->number = ++h->number;
	if (h->number == 0)
		rq->number = ++h->number;
}

int helper_ask(struct helper_client *h, struct helper_request *rq, int fd, int *fds, size_t max,
	       struct helper_reply *reply)
{
	uint64_t deadline =
		clock_monotonic_ms() + (rq->type == HELPER_LOAD ? HELPER_LOAD_MS : HELPER_ASK_MS);
	struct helper_reply own = { 0 };
	int r;

	if (h->sock < 0 || h->lost)
		return -EPIPE;
	set_number(h, rq);
	r = wait_for(h->sock, POLLOUT, deadline);
	if (r >= 0)
		r = fd_send(h->sock, rq, sizeof(*rq), &fd, fd >= 0 ? 1 : 0);
	reply = reply ? reply : &own;
	if (r >= 0)
		r = receive(h->sock, rq->number, deadline, fds, max, reply);
	h->told_at = 0; /* what was told was answered before */
	if (r >= 0)
		return reply->result;
	h->lost = true;
	return -EPIPE;
}

bool helper_drain(struct helper_client *h)
{
	char byte;

	for (;;) {
		ssize_t n = recv(h->sock, &byte, 1, MSG_DONTWAIT);

		if (n > 0)
			h->told_at = 0;
		else if (n < 0 && errno == EAGAIN)
			return true;
		else if (n == 0 || errno != EINTR)
			break;
	}
	h->lost = true;
	return false;
}

void helper_tell(struct helper_client *h, struct helper_request *rq)
{
	uint64_t now = clock_monotonic_ms();

	if (h->sock < 0 || h->lost || !helper_drain(h))
		return;
	if (h->told_at == 0)
		h->told_at = now;
	else if (now - h->told_at > HELPER_ASK_MS)
		h->lost = true;
	if (h->lost)
		return;
	set_number(h, rq);
	if (send(h->sock, rq, sizeof(*rq), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return;
	if (errno == EAGAIN)
		(void)helper_ask(h, rq, -1, NULL, 0, NULL);
	else
		h->lost = true;
}

int helper_start(struct helper_client *h, struct error *e)
{
	uint64_t deadline = clock_monotonic_ms() + HELPER_LOAD_MS;
	char path[PATH_MAX], mark[64];
	struct helper_reply hello;
	int r = find_program(path);

	if (r < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, r, "find " HELPER_PROGRAM);
	/* Without them it would have to refuse: no process is needed to find that out. */
	if (getxattr(path, "security.capability", mark, sizeof(mark)) <= 0)
		return refuse(e, path);
	r = orphan_start(SOCK_SEQPACKET, become_helper, path);
	if (r < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, r, "start %s", path);
	*h = (struct helper_client){ .sock = r };
	r = receive(h->sock, 0, deadline, NULL, 0, &hello);
	if (r >= 0)
		r = hello.result;
	if (r >= 0 && hello.version == RECORD_VERSION)
		return 0;
	h->sock = fd_close(h->sock);
	if (r >= 0)
		return error_set(e, ERROR_UNAVAILABLE, "%s is of another version of reeve", path);
	if (r == -EPERM || r == -EACCES)
		return refuse(e, path);
	return error_set_errno(e, ERROR_UNAVAILABLE, r == -EPIPE ? -ECHILD : r, "start %s", path);
}

int helper_refuse(struct error *e)
{
	char path[PATH_MAX];
	int r = find_program(path);

	return r < 0 ? error_set_errno(e, ERROR_UNAVAILABLE, r, "find " HELPER_PROGRAM)
		     : refuse(e, path);
}
