/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fd.h"
#include "client/daemon.h"
#include "client/http.h"
#include "client/install.h"
#include "core/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define POLL_MS      5
#define ENV_KEPT_MAX 256U
#define ATTEMPTS     2
#define KILL_MS      2000U

static char *sibling(const char *name, const char *between)
{
	char path[PATH_MAX];
	char *joined = NULL;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n < 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return asprintf(&joined, "%s/%s%s", path, between, name) < 0 ? NULL : joined;
}

int daemon_find_keeper(char **ret, struct error *e)
{
	const char *chosen = getenv("REEVE_KEEPER");
	char *candidates[] = {
		chosen && *chosen ? strdup(chosen) : sibling("reeve-keeper", ""),
		chosen && *chosen ? NULL : sibling("reeve-keeper", "../libexec/reeve/"),
		chosen && *chosen ? NULL : strdup(REEVE_LIBEXEC_DIR "/reeve-keeper"),
	};
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++) {
		if (!found && candidates[i] && access(candidates[i], X_OK) == 0)
			found = take(candidates[i]);
		free(candidates[i]);
	}
	if (!found)
		return error_set(e, ERROR_UNAVAILABLE,
				 "cannot find reeve-keeper beside this program, nor in %s; "
				 "set REEVE_KEEPER to its path",
				 REEVE_LIBEXEC_DIR);
	*ret = found;
	return 0;
}

/* What of the caller's environment the daemon gets. A name that ends in `_` is a prefix. */
static bool is_kept(const char *variable)
{
	static const char *const kept[] = { "HOME", "USER", "LOGNAME", "PATH", "SHELL",
					    "LANG", "LC_",  "TZ",      "XDG_", "REEVE_" };
	static const char session[] = "REEVE_SESSION=";

	if (strncmp(variable, session, strlen(session)) == 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		size_t n = strlen(kept[i]);

		if (strncmp(variable, kept[i], n) == 0 &&
		    (kept[i][n - 1] == '_' || variable[n] == '='))
			return true;
	}
	return false;
}

static void scrub(char **envp)
{
	size_t n = 0;

	for (char **v = environ; *v && n < ENV_KEPT_MAX - 1; v++)
		if (is_kept(*v))
			envp[n++] = *v;
	envp[n] = NULL;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the grandchild: becomes the keeper. What goes wrong before it has its log open ends in the
 * log. */
_Noreturn static void become_keeper(const char *keeper, const struct paths *paths)
{
	char *argv[] = { (char *)keeper, (char *)"--dir", paths->dir, NULL };
	char *envp[ENV_KEPT_MAX];
	int null = open("/dev/null", O_RDWR);
	int log = open(paths->log, O_WRONLY | O_APPEND | O_CREAT, 0600);

	scrub(envp);
	reset_signals();
	setsid();
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	if (chdir("/") == 0)
		execve(keeper, argv, envp);
	dprintf(STDERR_FILENO, "reeve: start %s: %s\n", keeper, strerrordesc_np(errno));
	_exit(127);
}

/* Forks twice, so that init (or the next subreaper) is the keeper's parent. The one in between
 * stays until the pidfd is open: until then nobody can reap the keeper, so the pid is its own.
 * Returns the pidfd. */
static int spawn_keeper(const char *keeper, const struct paths *paths, pid_t *ret_pid)
{
	int pair[2], pidfd = -EAGAIN;
	pid_t between, pid = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	between = fork();
	if (between == 0) {
		close(pair[0]);
		pid = fork();
		if (pid == 0)
			become_keeper(keeper, paths);
		if (write(pair[1], &pid, sizeof(pid)) == sizeof(pid))
			(void)!read(pair[1], &pid, 1); /* until the other side has looked */
		_exit(0);
	}
	close(pair[1]);
	if (between > 0 && read(pair[0], &pid, sizeof(pid)) == sizeof(pid) && pid > 0) {
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		pidfd = pidfd < 0 ? -errno : pidfd;
	}
	close(pair[0]);
	while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR)
		;
	*ret_pid = pid;
	return pidfd;
}

/* Whether the API answers now. */
static bool answers(const struct paths *paths, uint64_t until)
{
	_cleanup_(http_client_closep) struct http_client *http = NULL;
	struct http_request rq = { .method = "GET", .target = "/v1/daemon" };
	const struct http_head *head;
	uint64_t now = clock_monotonic_ms();

	if (http_client_open(paths->socket, &http, NULL) < 0)
		return false;
	http_client_set_timeout(http, now < until ? (int)(until - now) : 1);
	return http_client_send(http, &rq, NULL) == 0 && http_client_head(http, &head, NULL) == 0 &&
	       head->status == 200;
}

/* The same, with an end: -ESRCH when the process of `pidfd` (-1 for none) has ended before. */
static int await(const struct paths *paths, int pidfd, uint64_t until)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	while (!answers(paths, until)) {
		if (clock_monotonic_ms() >= until)
			return -ETIMEDOUT;
		if (poll(&p, 1, POLL_MS) > 0)
			return -ESRCH;
	}
	return 0;
}

int daemon_await(const struct paths *paths, uint64_t until, struct error *e)
{
	if (await(paths, -1, until) < 0) {
		error_set(e, ERROR_UNAVAILABLE, "the daemon in %s does not answer", paths->dir);
		return -ETIMEDOUT;
	}
	return 0;
}

/* Another daemon is there, or about to be. */
static int already_running(const struct paths *paths, uint64_t until, struct daemon_status *ret,
			   struct error *e)
{
	struct daemon_status s;
	int r = daemon_await(paths, until, e);

	if (r == 0)
		r = daemon_probe(paths, &s, e);
	if (r < 0)
		return r;
	*ret = s;
	return error_set(e, ERROR_ALREADY_EXISTS, "already running (PID %d)", (int)s.pid);
}

/* The short name in the runtime directory, for people. Nothing depends on it. */
static void link_runtime(const struct paths *paths)
{
	char target[PATH_MAX];
	ssize_t n;

	if (!paths->runtime_link)
		return;
	n = readlink(paths->runtime_link, target, sizeof(target));
	if (n >= 0 && (size_t)n == strlen(paths->dir) && memcmp(target, paths->dir, (size_t)n) == 0)
		return;
	if (n >= 0)
		unlink(paths->runtime_link);
	(void)!symlink(paths->dir, paths->runtime_link);
}

/* One attempt. -ESRCH when the keeper ended at once. */
static int start_once(const struct paths *paths, const char *keeper, uint64_t until,
		      struct daemon_status *ret, struct error *e)
{
	_cleanup_(closep) int pidfd = -1;
	struct daemon_status s;
	pid_t pid = 0;
	int r;

	pidfd = spawn_keeper(keeper, paths, &pid);
	if (pidfd < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, pidfd, "start %s", keeper);
	r = await(paths, pidfd, until);
	if (r == -ETIMEDOUT) {
		daemon_kill(paths, clock_monotonic_ms() + KILL_MS, NULL);
		error_set(e, ERROR_UNAVAILABLE,
			  "the daemon did not answer within %u s of its start",
			  DAEMON_START_MS / 1000);
	}
	if (r < 0)
		return r;
	r = daemon_probe(paths, &s, e);
	if (r == 0 && s.pid != pid)
		return already_running(paths, until, ret, e);
	if (r == 0)
		*ret = s;
	return r;
}

int daemon_start(const struct paths *paths, struct daemon_status *ret, struct error *e)
{
	uint64_t until = clock_monotonic_ms() + DAEMON_START_MS;
	_cleanup_(freep) char *keeper = NULL;
	struct daemon_status s;
	int r = daemon_probe(paths, &s, e);

	if (r == 0 && s.state == DAEMON_PARKED) {
		r = daemon_await(paths, until, e);
		return r < 0 ? r : daemon_probe(paths, ret, e);
	}
	if (r == 0 && s.state == DAEMON_RUNNING)
		return already_running(paths, until, ret, e);
	if (r == 0)
		r = paths_create(paths, e);
	if (r == 0)
		r = daemon_find_keeper(&keeper, e);
	/* A keeper that finds the lock taken ends at once; whoever had it may only have looked. */
	for (int attempt = 0; attempt < ATTEMPTS && r == 0; attempt++) {
		r = start_once(paths, keeper, until, ret, e);
		if (r == 0)
			link_runtime(paths);
		if (r != -ESRCH)
			return r;
		r = daemon_probe(paths, &s, e);
		if (r == 0 && s.state == DAEMON_RUNNING)
			return already_running(paths, until, ret, e);
	}
	if (r == 0) {
		error_set(e, ERROR_UNAVAILABLE, "the daemon ended while it started");
		r = -ESRCH;
	}
	return r;
}
