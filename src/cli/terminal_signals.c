/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal_signals.h"
#include "base/cleanup.h"
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

static void signals_of(bool owner, sigset_t *set)
{
	static const int all[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGWINCH,
				   SIGCONT, SIGTSTP, SIGUSR1, SIGUSR2 };
	size_t n = owner ? ARRAY_SIZE(all) : ARRAY_SIZE(all) - 2;
	struct sigaction action;

	sigemptyset(set);
	for (size_t i = 0; i < n; i++)
		if (sigaction(all[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(set, all[i]);
}

void terminal_signals_hold(bool owner)
{
	sigset_t set;

	signals_of(owner, &set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int terminal_signals_open(bool owner)
{
	sigset_t set;
	int fd;

	signals_of(owner, &set);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
