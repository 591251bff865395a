/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/helper.h"
#include "base/fd.h"
#include "observe/ebpf_kernel.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>
#define LOW_CAPABILITIES  (1U << CAP_NET_ADMIN)
#define HIGH_CAPABILITIES (1U << (CAP_BPF - 32) | 1U << (CAP_PERFMON - 32))

_Static_assert(EBPF_PROGRAMS <= 64, "a set of programs is one word");

struct helper {
	int sock;
	int place; /* among the helpers of this user */
	bool loaded;
	struct ebpf_kernel kernel;
};

static int fail(struct helper_reply *reply, int result, const char *reason)
{
	reply->result = result;
	(void)snprintf(reply->reason, sizeof(reply->reason), "%.*s", (int)sizeof(reply->reason) - 1,
		       reason);
	return result;
}

/* --- what is asked for ------------------------------------------------------------------------ */

/* A directory of cgroup v2 that belongs to the user who runs this, st_ino being the cgroup's id. */
static int check_cgroup(int fd, struct stat *ret, struct helper_reply *reply)
{
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC ||
	    fstat(fd, ret) < 0 || !S_ISDIR(ret->st_mode))
		return fail(reply, -EPERM, "that is no cgroup");
	if (ret->st_uid != getuid())
		return fail(reply, -EPERM, "that cgroup belongs to another user");
	return 0;
}

/* A process that the user might signal. What it does with rights of its own is not told. */
static int check_process(int pidfd, struct helper_reply *reply)
{
	if (pidfd >= 0 && pidfd_send_signal(pidfd, 0, NULL, 0) == 0)
		return 0;
	if (pidfd >= 0 && errno == ESRCH)
		return fail(reply, -ESRCH, "that process has ended");
	return fail(reply, -EPERM,
		    pidfd >= 0 && errno == EPERM ? "that process belongs to another user"
						 : "that is no process");
}

static int check_tag(const struct helper_request *rq, struct helper_reply *reply)
{
	if (rq->session == 0 || rq->session >= SESSIONS_MAX)
		return fail(reply, -EINVAL, "there is no such session");
	return 0;
}

/* A name without a file, one of few: how many may observe for a user at once. */
static int take_place(struct helper *h)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	for (unsigned i = 0; i < HELPERS_MAX; i++) {
		int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, HELPER_PROGRAM "/%u/%u",
				 (unsigned)getuid(), i);
		socklen_t size =
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

		if (bind(fd, (struct sockaddr *)&a, size) == 0) {
			h->place = fd;
			return 0;
		}
	}
	fd_close(fd);
	return -EUSERS;
}

/* Anybody may have the names: what they say is how many there are, not that nobody is in the way.
 */
static void no_place(struct helper_reply *reply)
{
	reply->result = -EUSERS;
	(void)snprintf(
		reply->reason, sizeof(reply->reason),
		"all %u names by which helpers of this user are counted are taken: by as many "
		"daemons that observe, of which `reeve daemon stop` ends one, or by who else "
		"has them; `sudo ss -xap` shows whose @" HELPER_PROGRAM "/%u/0 and so on are",
		HELPERS_MAX, (unsigned)getuid());
}

static void load(struct helper *h, struct helper_reply *reply)
{
	const struct owner owner = { 1, getuid(), getgid() };
	struct error e = { 0 };
	int r;

	if (h->loaded) {
		(void)fail(reply, -EALREADY, "they are loaded");
		return;
	}
	r = ebpf_kernel_load(&h->kernel, &owner, &e);
	if (r < 0) {
		(void)fail(reply, r, e.message);
		return;
	}
	if (take_place(h) < 0) {
		ebpf_kernel_done(&h->kernel);
		no_place(reply);
		return;
	}
	h->loaded = true;
}

static void attach(struct helper *h, const struct helper_request *rq, int dir,
		   struct helper_reply *reply)
{
	struct stat st;
	int r;

	if (rq->index >= EBPF_PROGRAMS) {
		(void)fail(reply, -EINVAL, "there is no such program");
		return;
	}
	if (ebpf_need_of(rq->index) == EBPF_NEED_SOCKETS && check_cgroup(dir, &st, reply) < 0)
		return;
	r = ebpf_kernel_attach(&h->kernel, rq->index, dir);
	if (r < 0)
		(void)fail(reply, r, strerror(-r));
}

static void detach(struct helper *h, const struct helper_request *rq,
		   struct helper_reply *reply _unused_)
{
	int *links = h->kernel.fds + EBPF_LINK;

	for (unsigned i = 0; i < EBPF_PROGRAMS; i++)
		if ((rq->id & 1ULL << i) == 0)
			links[i] = fd_close(links[i]);
}

static void tag(struct helper *h, const struct helper_request *rq, int pidfd,
		struct helper_reply *reply)
{
	struct tag tag = { rq->session, rq->generation };
	int r;

	if (check_process(pidfd, reply) < 0 || check_tag(rq, reply) < 0)
		return;
	r = ebpf_kernel_tag(&h->kernel, pidfd, &tag);
	if (r < 0)
		(void)fail(reply, r, strerror(-r));
}

static void watch(struct helper *h, const struct helper_request *rq, int dir,
		  struct helper_reply *reply)
{
	struct tag tag = { rq->session, rq->generation };
	struct stat st;
	int r;

	if (check_cgroup(dir, &st, reply) < 0 || check_tag(rq, reply) < 0)
		return;
	r = ebpf_kernel_watch(&h->kernel, st.st_ino, &tag);
	if (r < 0)
		(void)fail(reply, r, strerror(-r));
}

static void serve_loaded(struct helper *h, const struct helper_request *rq, int fd,
			 struct helper_reply *reply)
{
	switch (rq->type) {
	case HELPER_ATTACH:
		attach(h, rq, fd, reply);
		break;
	case HELPER_DETACH:
		detach(h, rq, reply);
		break;
	case HELPER_TAG:
		tag(h, rq, fd, reply);
		break;
	case HELPER_WATCH:
		watch(h, rq, fd, reply);
		break;
	case HELPER_UNWATCH:
		reply->result = ebpf_kernel_unwatch(&h->kernel, rq->id);
		break;
	case HELPER_SETTLE:
		ebpf_kernel_settle(&h->kernel);
		break;
	default:
		reply->result = ebpf_run_sweep(h->kernel.fds[EBPF_SWEEP], SWEEP_FILES);
		break;
	}
}

/* Returns what sending gave. */
static int serve_one(struct helper *h, const struct helper_request *rq, int fd)
{
	struct helper_reply reply = { .number = rq->number };
	size_t n = 0;

	if (rq->type < HELPER_LOAD || rq->type > HELPER_SWEEP)
		(void)fail(&reply, -EINVAL, "there is no such request");
	else if (rq->type == HELPER_LOAD)
		load(h, &reply);
	else if (!h->loaded)
		(void)fail(&reply, -EBADFD, "nothing was loaded");
	else
		serve_loaded(h, rq, fd, &reply);
	if (rq->type == HELPER_LOAD && reply.result == 0)
		n = EBPF_SHARED;
	return fd_send(h->sock, &reply, sizeof(reply), h->kernel.fds, n);
}

/* --- its own beginning -------------------------------------------------------------------------
 */

/* The caller is of the user whose processes count, and nobody made this setuid or setgid. */
static int check_caller(int sock)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	return getuid() == geteuid() && getgid() == getegid() && peer.uid == getuid() ? 0 : -EPERM;
}

/* Of what it was given it keeps what loading and attaching take: nothing by which it could send a
 * signal, or read a file, that its user could not. */
static int leave_privileges(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[0].permitted &= LOW_CAPABILITIES;
	data[1].permitted &= HIGH_CAPABILITIES;
	for (unsigned i = 0; i < 2; i++) {
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* What the caller left open is not ours. */
static int leave_descriptors(int sock)
{
	if ((sock > 3 && close_range(3, (unsigned)sock - 1, 0) < 0) ||
	    close_range((unsigned)sock + 1, ~0U, 0) < 0)
		return -errno;
	return 0;
}

int helper_serve(int sock)
{
	struct helper h = { .sock = sock, .place = -1 };
	struct helper_reply hello = { .version = RECORD_VERSION };
	int r = check_caller(sock);

	if (r >= 0)
		r = leave_descriptors(sock);
	if (r >= 0)
		r = leave_privileges();
	if (r < 0)
		return r;
	ebpf_kernel_init(&h.kernel);
	r = fd_send(sock, &hello, sizeof(hello), NULL, 0);
	while (r >= 0) {
		struct helper_request rq = { 0 };
		int fd = -1;
		size_t n_fds = 0;
		ssize_t n = fd_recv(sock, &rq, sizeof(rq), &fd, 1, &n_fds);

		if (n == -EINTR || n == -EMSGSIZE || n == -EMFILE)
			continue;
		if (n <= 0)
			break;
		if (n_fds == 0)
			fd = -1;
		if ((size_t)n == sizeof(rq))
			r = serve_one(&h, &rq, fd);
		fd_close(fd);
	}
	ebpf_kernel_done(&h.kernel);
	fd_close(h.place);
	return 0;
}
