/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/helper.h"
#include "base/fd.h"
#include "observe/ebpf.h"
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Whoever could write these could observe anybody. */
#define KEPT_BACK (1ULL << EBPF_TAGS | 1ULL << EBPF_BY_CGROUP | 1ULL << EBPF_SWEEP)

struct helper {
	int sock;
	bool loaded;
	int fds[N_EBPF_FDS];
};

static void fail(struct helper_reply *reply, int result, const char *reason)
{
	reply->result = result;
	(void)snprintf(reply->reason, sizeof(reply->reason), "%.*s", (int)sizeof(reply->reason) - 1,
		       reason);
}

/* A directory of cgroup v2 that belongs to the user who runs this, st_ino being the cgroup's id. */
static int check_cgroup(int fd, struct stat *ret, struct helper_reply *reply)
{
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC ||
	    fstat(fd, ret) < 0 || !S_ISDIR(ret->st_mode)) {
		fail(reply, -EPERM, "that is no cgroup");
		return -EPERM;
	}
	if (ret->st_uid != getuid()) {
		fail(reply, -EPERM, "that cgroup belongs to another user");
		return -EPERM;
	}
	return 0;
}

static bool check_loaded(const struct helper *h, struct helper_reply *reply)
{
	if (!h->loaded)
		fail(reply, -EBADFD, "nothing was loaded");
	return h->loaded;
}

static void load(struct helper *h, struct helper_reply *reply)
{
	struct error e = { 0 };
	int r = h->loaded ? -EALREADY : ebpf_load(h->fds, &e);

	if (r < 0) {
		fail(reply, r, h->loaded ? "they are loaded" : e.message);
		return;
	}
	h->loaded = true;
	for (unsigned i = 0; i < N_EBPF_FDS; i++)
		if (h->fds[i] >= 0 && (KEPT_BACK & 1ULL << i) == 0)
			reply->set |= 1ULL << i;
}

/* Returns the link, -1 without one. */
static int attach(struct helper *h, const struct helper_request *rq, int dir,
		  struct helper_reply *reply)
{
	struct stat st;
	int link;

	if (check_cgroup(dir, &st, reply) < 0 || !check_loaded(h, reply))
		return -1;
	if (rq->index >= EBPF_PROGRAMS || h->fds[EBPF_PROGRAM + rq->index] < 0) {
		fail(reply, -EINVAL, "there is no such program");
		return -1;
	}
	link = ebpf_attach(h->fds, rq->index, dir);
	if (link < 0) {
		fail(reply, link, strerror(-link));
		return -1;
	}
	reply->set = 1ULL << (EBPF_LINK + rq->index);
	return link;
}

static void watch(struct helper *h, const struct helper_request *rq, int dir,
		  struct helper_reply *reply)
{
	struct tag tag = { rq->session, rq->generation };
	struct stat st;
	uint64_t id;
	int r;

	if (check_cgroup(dir, &st, reply) < 0 || !check_loaded(h, reply))
		return;
	id = st.st_ino;
	r = rq->type == HELPER_WATCH ? ebpf_map_set(h->fds[EBPF_BY_CGROUP], &id, &tag)
				     : ebpf_map_delete(h->fds[EBPF_BY_CGROUP], &id);
	if (r < 0)
		fail(reply, r, strerror(-r));
}

/* The descriptors of `set`, of which `link` is the one that is new. */
static void answer(struct helper *h, const struct helper_reply *reply, int link)
{
	int fds[N_EBPF_FDS];
	size_t n = 0;

	for (unsigned i = 0; i < N_EBPF_FDS; i++)
		if ((reply->set & 1ULL << i) != 0)
			fds[n++] = link >= 0 ? link : h->fds[i];
	(void)fd_send(h->sock, reply, sizeof(*reply), fds, n);
}

static void serve_one(struct helper *h, const struct helper_request *rq, int fd)
{
	struct helper_reply reply = { 0 };
	int link = -1;

	switch (rq->type) {
	case HELPER_LOAD:
		load(h, &reply);
		break;
	case HELPER_ATTACH:
		link = attach(h, rq, fd, &reply);
		break;
	case HELPER_WATCH:
	case HELPER_UNWATCH:
		watch(h, rq, fd, &reply);
		break;
	default:
		fail(&reply, -EINVAL, "there is no such request");
	}
	answer(h, &reply, link);
	fd_close(link);
}

/* The caller is of the user whose cgroups count, and nobody made this setuid. */
static int check_caller(int sock)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	return getuid() == geteuid() && peer.uid == getuid() ? 0 : -EPERM;
}

int helper_serve(int sock)
{
	struct helper h = { .sock = sock };
	int r = check_caller(sock);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < N_EBPF_FDS; i++)
		h.fds[i] = -1;
	for (;;) {
		struct helper_request rq = { 0 };
		int fd = -1;
		size_t n_fds = 0;
		ssize_t n = fd_recv(sock, &rq, sizeof(rq), &fd, 1, &n_fds);

		if (n == -EINTR || n == -EMSGSIZE)
			continue;
		if (n <= 0)
			break;
		if (n_fds == 0)
			fd = -1;
		if ((size_t)n == sizeof(rq))
			serve_one(&h, &rq, fd);
		fd_close(fd);
	}
	for (unsigned i = 0; i < N_EBPF_FDS; i++)
		fd_close(h.fds[i]);
	return 0;
}
