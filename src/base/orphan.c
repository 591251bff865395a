/* SPDX-License-Identifier: Apache-2.0 */
#include "base/orphan.h"
#include "base/fd.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void be_orphan(int sock, orphan_fn *run, const void *data)
{
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &usual, NULL);
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	(void)!chdir("/");
	run(sock, data);
	_exit(0);
}

/* The one in between tells by its exit status, an errno, whether it has made the other. */
static int fork_twice(const int pair[2], orphan_fn *run, const void *data)
{
	int status = 0, r = 0;
	pid_t pid = fork();

	if (pid == 0) {
		pid = fork();
		if (pid == 0) {
			(void)close(pair[0]);
			be_orphan(pair[1], run, data);
		}
		_exit(pid < 0 ? errno : 0);
	}
	if (pid < 0)
		r = -errno;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && r == 0 ? -WEXITSTATUS(status) : r;
}

int orphan_start(int type, orphan_fn *run, const void *data)
{
	sigset_t all, before;
	int pair[2], r;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = fork_twice(pair, run, data);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	fd_close(pair[1]);
	if (r < 0)
		fd_close(pair[0]);
	return r < 0 ? r : pair[0];
}
