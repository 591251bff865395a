/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal_in.h"
#include "base/fd.h"
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

static int tell(struct terminal_in *in, int what)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(in->fd, what, STDIN_FILENO, &event) < 0 ? -errno : 0;
}

int terminal_in_open(struct terminal_in *in, struct error *e)
{
	int r;

	in->fd = epoll_create1(EPOLL_CLOEXEC);
	if (in->fd < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, errno, "epoll");
	r = tell(in, EPOLL_CTL_ADD);
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "epoll of the terminal");
	return 0;
}

void terminal_in_close(struct terminal_in *in)
{
	in->fd = fd_close(in->fd);
}

void terminal_in_renew(struct terminal_in *in)
{
	tell(in, EPOLL_CTL_MOD);
}

ssize_t terminal_in_read(struct terminal_in *in, void *to, size_t n)
{
	struct epoll_event event;
	ssize_t k;

	if (epoll_wait(in->fd, &event, 1, 0) <= 0)
		return -EAGAIN;
	k = read(STDIN_FILENO, to, n);
	if (k < 0)
		k = -errno;
	/* A read that was cut short by nothing but the lack of keys has taken them all (epoll(7));
	 * after any other there may be keys of which no edge tells any more. */
	if (k < 0 || (size_t)k == n)
		terminal_in_renew(in);
	return k;
}
