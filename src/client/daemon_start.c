/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fd.h"
#include "client/daemon.h"
#include "client/http.h"
#include "core/proc.h"
#include "install.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define POLL_MS       5
#define ENV_KEPT_MAX  256U
#define KEEPER_EXISTS 3 /* its exit status when it finds the lock taken */
#define KILL_MS       2000U
#define NOFILE_MIN    64U /* descriptors: its own, and those of a few sessions and clients */
#define FSIZE_MIN     (64U * MiB) /* what its control memory and a session's rings take */

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

/* Its limits are those of no caller: one that allows itself a second of CPU time, or no file larger
 * than nothing, means its command and not the daemon. What cannot be lifted stays. */
static void lift_limits(void)
{
	static const __rlimit_resource_t lifted[] = { RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA,
						      RLIMIT_AS, RLIMIT_RSS };
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	for (size_t i = 0; i < ARRAY_SIZE(lifted); i++) {
		struct rlimit now;

		if (setrlimit(lifted[i], &limit) == 0 || getrlimit(lifted[i], &now) < 0)
			continue;
		now.rlim_cur = now.rlim_max;
		setrlimit(lifted[i], &now);
	}
}

/* In the grandchild: becomes the keeper. What goes wrong before it has its log open ends in the
 * log; where that cannot be opened either, on the caller's stderr, for such a keeper ends at once.
 */
_Noreturn static void become_keeper(const char *keeper, const struct paths *paths)
{
	char *argv[] = { (char *)keeper, (char *)"--dir", paths->dir, NULL };
	char *envp[ENV_KEPT_MAX];
	int null = open("/dev/null", O_RDWR), log;

	umask(umask(0) & 077);
	log = open(paths->log, O_WRONLY | O_APPEND | O_CREAT, 0600);
	scrub(envp);
	reset_signals();
	lift_limits();
	setsid();
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (log >= 0)
		dup2(log, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	if (chdir("/") == 0)
		execve(keeper, argv, envp);
	dprintf(STDERR_FILENO, "reeve: start %s: %s\n", keeper, strerrordesc_np(errno));
	_exit(127);
}

/* A keeper that was started, until it answers or has failed. */
struct starting {
	pid_t between; /* its parent, our child: tells how it ended, should it end */
	int sock;      /* says so, by a wait status */
	pid_t pid;
	int pidfd;
};

/* In the child: starts the keeper, tells its pid, and waits for its end. */
_Noreturn static void watch_keeper(const char *keeper, const struct paths *paths, int sock)
{
	pid_t pid;
	int status = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pid = fork();
	if (pid == 0)
		become_keeper(keeper, paths);
	if (write(sock, &pid, sizeof(pid)) == sizeof(pid) && pid > 0) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		(void)!write(sock, &status, sizeof(status));
	}
	_exit(0);
}

/* Lets go of the keeper: without the one in between it belongs to init (or the next subreaper). */
static void starting_done(struct starting *s)
{
	fd_close(s->pidfd);
	fd_close(s->sock);
	if (s->between <= 0)
		return;
	kill(s->between, SIGKILL);
	while (waitpid(s->between, NULL, 0) < 0 && errno == EINTR)
		;
}

/* While the one in between has not told of an end, nobody else can have the keeper's pid. */
static int spawn_keeper(const char *keeper, const struct paths *paths, struct starting *s)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	s->between = fork();
	if (s->between == 0) {
		close(pair[0]);
		watch_keeper(keeper, paths, pair[1]);
	}
	close(pair[1]);
	s->sock = pair[0];
	if (s->between < 0 || read(s->sock, &s->pid, sizeof(s->pid)) != sizeof(s->pid) ||
	    s->pid <= 0)
		return -EAGAIN;
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	/* one that has ended already is told of through `sock` */
	return s->pidfd < 0 && errno != ESRCH ? -errno : 0;
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

/* The same, with an end: -ESRCH when `fd` (-1 for none) could be read before. */
static int await(const struct paths *paths, int fd, uint64_t until)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

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

/* It ended before it answered. -EEXIST when it found the lock taken. */
static int ended_early(const struct starting *s, struct error *e)
{
	struct rlimit files;
	int status = 0;

	if (read(s->sock, &status, sizeof(status)) != sizeof(status))
		status = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == KEEPER_EXISTS)
		return -EEXIST;
	if (getrlimit(RLIMIT_FSIZE, &files) == 0 && files.rlim_max < FSIZE_MIN && geteuid() != 0)
		error_set(e, ERROR_UNAVAILABLE,
			  "the daemon ended while it started: files are limited to %llu bytes here "
			  "(ulimit -f); start it from a shell without that limit",
			  (unsigned long long)files.rlim_max);
	else if (WIFSIGNALED(status))
		error_set(e, ERROR_UNAVAILABLE, "the daemon was killed while it started: %s",
			  strsignal(WTERMSIG(status)));
	else
		error_set(e, ERROR_UNAVAILABLE, "the daemon ended while it started");
	return -ESRCH;
}

/* Somebody answers: ours, or another that was quicker. A keeper that has yet to find the lock taken
 * could still find it free when that other one has ended: it is not left behind. */
static int find_winner(const struct paths *paths, const struct starting *s, uint64_t until,
		       struct daemon_status *ret, struct error *e)
{
	struct pollfd p = { .fd = s->sock, .events = POLLIN };
	int r;

	while ((r = daemon_probe(paths, ret, e)) == 0 && ret->pid != s->pid) {
		if (poll(&p, 1, POLL_MS) > 0)
			return -EEXIST;
		if (clock_monotonic_ms() < until)
			continue;
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
		return -EEXIST;
	}
	return r;
}

/* One attempt. -EEXIST when there is another daemon, or one was. */
static int start_once(const struct paths *paths, const char *keeper, uint64_t until,
		      struct daemon_status *ret, struct error *e)
{
	_cleanup_(starting_done) struct starting s = { .sock = -1, .pidfd = -1 };
	int r = spawn_keeper(keeper, paths, &s);

	if (r < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, r, "start %s", keeper);
	r = await(paths, s.sock, until);
	if (r == -ESRCH)
		return ended_early(&s, e);
	if (r == -ETIMEDOUT) {
		daemon_kill(paths, clock_monotonic_ms() + KILL_MS, NULL);
		syscall(SYS_pidfd_send_signal, s.pidfd, SIGKILL, NULL, 0);
		error_set(e, ERROR_UNAVAILABLE,
			  "the daemon did not answer within %u s of its start",
			  DAEMON_START_MS / 1000);
		return r;
	}
	return find_winner(paths, &s, until, ret, e);
}

static int check_limits(struct error *e)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_max >= NOFILE_MIN)
		return 0;
	return error_set(
		e, ERROR_EXHAUSTED,
		"the daemon cannot start with %llu descriptors, the hard limit here (ulimit "
		"-Hn); it takes at least %u: start it from a shell with a higher limit",
		(unsigned long long)files.rlim_max, NOFILE_MIN);
}

/* What a daemon needs before it can be started. */
static int prepare(const struct paths *paths, char **ret_keeper, struct error *e)
{
	int r = check_limits(e);

	if (r == 0)
		r = paths_create(paths, e);
	return r < 0 ? r : daemon_find_keeper(ret_keeper, e);
}

int daemon_start(const struct paths *paths, struct daemon_status *ret, struct error *e)
{
	uint64_t until = clock_monotonic_ms() + DAEMON_START_MS;
	_cleanup_(freep) char *keeper = NULL;
	int r = daemon_probe(paths, ret, e);

	if (r == 0 && ret->state == DAEMON_PARKED) {
		r = daemon_await(paths, until, e);
		return r < 0 ? r : daemon_probe(paths, ret, e);
	}
	if (r == 0 && ret->state == DAEMON_RUNNING)
		return already_running(paths, until, ret, e);
	if (r == 0)
		r = prepare(paths, &keeper, e);
	while (r == 0) {
		r = start_once(paths, keeper, until, ret, e);
		if (r == 0)
			link_runtime(paths);
		if (r != -EEXIST)
			return r;
		/* whoever had the lock may have been one that only looked, and is gone */
		r = daemon_probe(paths, ret, e);
		if (r == 0 && ret->state == DAEMON_RUNNING)
			return already_running(paths, until, ret, e);
		if (r == 0 && clock_monotonic_ms() >= until)
			return error_set(e, ERROR_UNAVAILABLE, "the lock in %s is always taken",
					 paths->dir);
	}
	return r;
}
