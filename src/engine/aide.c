/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/aide.h"
#include "base/clock.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

void aide_init(struct aide *a, const char *what, const char *option, int type)
{
	*a = (struct aide){
		.sock = -1, .type = type, .program = AIDE_PROGRAM, .option = option, .what = what
	};
}

/* It is ours and not reaped yet, so its number is nobody else's, nor is that of its group. */
static void put_down(struct aide *a)
{
	(void)kill(-a->pid, SIGKILL);
	(void)kill(a->pid, SIGKILL);
}

int aide_end(struct aide *a)
{
	int status = 0;

	a->sock = fd_close(a->sock);
	if (a->pid <= 0)
		return 0;
	put_down(a);
	while (waitpid(a->pid, &status, 0) < 0 && errno == EINTR)
		;
	a->pid = 0;
	return status;
}

int aide_take_leave(struct aide *a, uint64_t deadline)
{
	siginfo_t info = { 0 };

	while (a->pid > 0 && waitid(P_PID, (id_t)a->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0 && clock_monotonic_ms() < deadline)
		(void)poll(NULL, 0, 1);
	return aide_end(a);
}

/* Everything else is closed by the exec. */
static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *how, int sock)
{
	sigset_t none, all;
	int r = posix_spawn_file_actions_adddup2(actions, sock, 0);

	sigemptyset(&none);
	sigfillset(&all);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, 1, 2);
	if (r == 0)
		r = posix_spawnattr_setsigmask(how, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(how, &all);
	return r ? r
		 : posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn_at(struct aide *a, int sock)
{
	static char name[] = "reeved";
	char *const argv[] = { name, (char *)(uintptr_t)a->option, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t how;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&how);
	if (r == 0) {
		r = prepare(&actions, &how, sock);
		if (r == 0)
			r = posix_spawn(&a->pid, a->program, &actions, &how, argv, environ);
		posix_spawnattr_destroy(&how);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		a->pid = 0;
	return -r;
}

int aide_start(struct aide *a, struct error *e)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, a->type | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, errno, "make a socket for %s",
				       a->what);
	r = fd_set_nonblock(pair[0], true);
	if (r >= 0)
		r = spawn_at(a, pair[1]);
	fd_close(pair[1]);
	a->sock = pair[0];
	if (r >= 0)
		return 0;
	a->sock = fd_close(a->sock);
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "start %s, \"%s %s\"", a->what, a->program,
			       a->option);
}
