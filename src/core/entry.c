/* SPDX-License-Identifier: Apache-2.0 */
#include "core/entry.h"
#include "base/cleanup.h"
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static int install(const struct entry *e, unsigned long flags)
{
	struct sock_fprog program = { .len = (unsigned short)e->n,
				      .filter = (struct sock_filter *)e->code };
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

	return r < 0 ? -errno : (int)r;
}

int entry_apply(const struct entry *e)
{
	unsigned long flags = 0;
	int r;

	if (e->n == 0)
		return 0;
	if (e->n > ENTRY_CODE_MAX)
		return -EINVAL;
	if ((e->flags & ENTRY_LISTENER) != 0)
		flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	r = install(e, flags);
	if (r == -EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		r = install(e, flags);
	if (r == -EINVAL && flags != 0) /* before Linux 5.19 */
		r = install(e, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	return r;
}

int entry_fetch(int pidfd, int number)
{
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);

	return fd < 0 ? -errno : fd;
}

int entry_pass(int listener, uint64_t id)
{
	struct seccomp_notif_resp go_on = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on) < 0 ? -errno : 0;
}

int entry_pass_next(int listener)
{
	struct seccomp_notif n;

	memset(&n, 0, sizeof(n)); /* the kernel wants it so */
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0)
		return -errno;
	return entry_pass(listener, n.id);
}

void entry_tell(const struct entry *e, int fd)
{
	int r = (e->flags & ENTRY_BEHIND_GATE) != 0 ? 0 : entry_apply(e);

	(void)!write(fd, &r, sizeof(r));
}

int entry_after_gate(const struct entry *e)
{
	return (e->flags & ENTRY_BEHIND_GATE) != 0 ? entry_apply(e) : 0;
}

int entry_hear(pid_t pid, int fd)
{
	int r, pidfd;
	ssize_t n;

	do
		n = read(fd, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(r))
		return n < 0 ? -errno : -ECHILD;
	if (r <= 0)
		return r;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	r = entry_fetch(pidfd, r);
	(void)close(pidfd);
	return r;
}
