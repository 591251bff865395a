/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fd.h"
#include "client/daemon.h"
#include "core/proc.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define ENGINES_MAX 8U
#define POLL_MS     10

struct hunt {
	pid_t keeper;
	char engine[PATH_MAX]; /* its program */
	int pidfds[ENGINES_MAX];
	unsigned n;
};

static int program_of(pid_t pid, char path[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return 0;
}

/* Keeps a pidfd of each child of the keeper that runs the engine's program. Its sessions are its
 * children, too; they are not ours to end. */
static int find_engine(pid_t pid, void *userdata)
{
	struct hunt *h = userdata;
	char path[PATH_MAX];
	struct proc_stat st;
	int pidfd;

	if (proc_stat_read(pid, &st) < 0 || st.ppid != h->keeper || h->n == ENGINES_MAX)
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return 0;
	if (program_of(pid, path) == 0 && strncmp(path, h->engine, strlen(h->engine)) == 0 &&
	    proc_stat_read(pid, &st) == 0 && st.ppid == h->keeper)
		h->pidfds[h->n++] = pidfd;
	else
		close(pidfd);
	return 0;
}

static void send_signal(int pidfd, int signal)
{
	syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

/* One round: an engine that sees its keeper die starts a fresh one, so it is stopped before. */
static void kill_once(const struct daemon_status *s)
{
	_cleanup_(closep) int keeper = (int)syscall(SYS_pidfd_open, s->pid, 0);
	struct hunt h = { .keeper = s->pid };
	struct proc_stat st;
	char *slash;

	if (keeper < 0 || proc_stat_read(s->pid, &st) < 0 || st.start != s->start_time)
		return;
	if (program_of(s->pid, h.engine) == 0 && (slash = strrchr(h.engine, '/'))) {
		snprintf(slash + 1, (size_t)(h.engine + PATH_MAX - slash - 1), "reeved");
		proc_each(find_engine, &h);
	}
	for (unsigned i = 0; i < h.n; i++)
		send_signal(h.pidfds[i], SIGSTOP);
	send_signal(keeper, SIGKILL);
	for (unsigned i = 0; i < h.n; i++) {
		send_signal(h.pidfds[i], SIGKILL);
		close(h.pidfds[i]);
	}
}

int daemon_kill(const struct paths *paths, uint64_t until, struct error *e)
{
	struct daemon_status s;
	int r;

	while ((r = daemon_probe(paths, &s, e)) == 0) {
		if (s.state == DAEMON_STOPPED || s.state == DAEMON_STALE)
			break;
		if (clock_monotonic_ms() >= until)
			return error_set(e, ERROR_UNAVAILABLE,
					 "the daemon (PID %d) does not end, not even by SIGKILL",
					 (int)s.pid);
		if (s.pid != 0)
			kill_once(&s);
		poll(NULL, 0, POLL_MS);
	}
	if (r == 0)
		daemon_forget(paths);
	return r;
}
