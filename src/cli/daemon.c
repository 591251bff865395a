/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.c - the commands about the daemon itself. */
#include "client/daemon.h"
#include "base/clock.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "client/logout.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STOP_MS   "45s" /* the keeper itself uses force after 30 s */
#define KILL_MS   5000U
#define ANSWER_MS 10000U /* an engine that says nothing for so long will say nothing more */
#define KNOWN_MS  2000U  /* for a daemon that is starting to write down its pid */
#define POLL_MS   10

enum status_exit { STATUS_RUNNING = 0, STATUS_STALE = 1, STATUS_STOPPED = 3 };

static const struct paths *paths_of(struct cli *cli, struct error *e)
{
	struct client *client;

	cli->client_flags |= CLIENT_NO_AUTOSTART;
	client = cli_client(cli, e);
	return client ? client_paths(client) : NULL;
}

/* --- start ----------------------------------------------------------------------------------- */

const struct option_table daemon_start_options = { (const struct option_spec[]){ { 0 } }, 1 };

static int start(struct cli *cli, const char *word, struct daemon_status *s)
{
	struct error e = { 0 };
	const struct paths *paths = paths_of(cli, &e);
	int r = paths ? daemon_start(paths, s, &e) : -EIO;

	if (r == 0) {
		printf("%s (PID %d)\n", word, (int)s->pid);
		return 0;
	}
	cli_print_error(cli, &e);
	if (paths && r != -EEXIST)
		cli_print_log(paths);
	return EXIT_FAILED;
}

int cmd_daemon_start(struct cli *cli, const void *values, int n, char **operands)
{
	struct daemon_status s;

	(void)values;
	(void)n;
	(void)operands;
	return start(cli, "started", &s);
}

/* --- status ---------------------------------------------------------------------------------- */

struct status_values {
	bool json;
};

static const struct option_spec status_specs[] = {
	{ .name = "json", .help = "for programs", .offset = offsetof(struct status_values, json) },
	{ 0 },
};

const struct option_table daemon_status_options = { status_specs, sizeof(struct status_values) };

/* Looks again while a daemon that has just taken the lock has not said who it is. */
static int probe(const struct paths *paths, struct daemon_status *ret, struct error *e)
{
	uint64_t until = clock_monotonic_ms() + KNOWN_MS;
	int r;

	while ((r = daemon_probe(paths, ret, e)) == 0 && ret->state == DAEMON_RUNNING &&
	       ret->pid == 0 && clock_monotonic_ms() < until)
		poll(NULL, 0, POLL_MS);
	return r;
}

/* null: it cannot be known */
static json_t *survives_logout(pid_t keeper)
{
	enum logout_answer answer;
	struct logout_facts facts;

	logout_look(keeper, &facts);
	answer = logout_decide(&facts);
	return answer == LOGOUT_UNKNOWN ? json_null() : json_boolean(answer == LOGOUT_SURVIVES);
}

static int print_json(struct cli *cli, const struct daemon_status *s, const char *word)
{
	json_t *answer = NULL;
	const struct client_request rq = { .method = "GET",
					   .target = "/v1/daemon",
					   .timeout_ms = ANSWER_MS };
	struct error e = { 0 };

	if (s->state == DAEMON_RUNNING) {
		if (client_call(cli->client, &rq, &answer, &e) < 0)
			return cli_fail(cli, &e);
		json_object_set_new(answer, "survivesLogout", survives_logout(s->pid));
	} else {
		answer = json_object();
		if (s->pid != 0)
			json_object_set_new(answer, "keeperPid", json_integer(s->pid));
	}
	json_object_set_new(answer, "status", json_string(word));
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(answer);
	return 0;
}

int cmd_daemon_status(struct cli *cli, const void *values, int n, char **operands)
{
	static const struct {
		const char *word, *line;
		int status;
	} words[] = {
		[DAEMON_STOPPED] = { "stopped", "stopped\n", STATUS_STOPPED },
		[DAEMON_STALE] = { "stale", "stale (PID %d dead)\n", STATUS_STALE },
		[DAEMON_PARKED] = { "stopped", "stopped (PID %d keeps its sessions)\n",
				    STATUS_STOPPED },
		[DAEMON_RUNNING] = { "running", "running (PID %d)\n", STATUS_RUNNING },
	};
	const struct status_values *v = values;
	struct error e = { 0 };
	const struct paths *paths = paths_of(cli, &e);
	struct daemon_status s;

	(void)n;
	(void)operands;
	if (!paths || probe(paths, &s, &e) < 0)
		return cli_fail(cli, &e);
	if (v->json) {
		int status = print_json(cli, &s, words[s.state].word);

		return status ? status : words[s.state].status;
	}
	printf(words[s.state].line, (int)s.pid);
	return words[s.state].status;
}

/* --- stop and restart ------------------------------------------------------------------------ */

struct stop_values {
	const char *sessions, *timeout;
};

static const struct option_spec stop_specs[] = {
	{ .name = "sessions",
	  .argument = "stop|keep",
	  .help = "end them first (default), or leave them to the next start",
	  .choices = "stop keep",
	  .type = OPTION_TEXT,
	  .offset = offsetof(struct stop_values, sessions) },
	{ .name = "timeout",
	  .argument = "TIME",
	  .help = "when to use SIGKILL (default: 45s)",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct stop_values, timeout) },
	{ 0 },
};

const struct option_table daemon_stop_options = { stop_specs, sizeof(struct stop_values) };

/* A pidfd of the keeper, and of nobody else. */
static int open_keeper(const struct paths *paths, struct daemon_status *s)
{
	int pidfd = s->pid > 0 ? (int)syscall(SYS_pidfd_open, s->pid, 0) : -1;
	struct daemon_status again;

	if (pidfd >= 0 && (daemon_probe(paths, &again, NULL) < 0 || again.pid != s->pid ||
			   again.start_time != s->start_time || again.state == DAEMON_STALE)) {
		close(pidfd);
		pidfd = -1;
	}
	return pidfd;
}

static bool is_over(const struct daemon_status *s, bool keep)
{
	return s->state == DAEMON_STOPPED || s->state == DAEMON_STALE ||
	       (keep && s->state == DAEMON_PARKED);
}

/* Waits for the lock to be free (or its holder parked), and then for the process to be gone. */
static int await_end(const struct paths *paths, int pidfd, bool keep, uint64_t until,
		     struct daemon_status *ret, struct error *e)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	while ((r = daemon_probe(paths, ret, e)) == 0 && !is_over(ret, keep)) {
		if (clock_monotonic_ms() >= until)
			return -ETIMEDOUT;
		poll(NULL, 0, POLL_MS);
	}
	while (r == 0 && pidfd >= 0 && ret->state != DAEMON_PARKED && poll(&p, 1, POLL_MS) == 0)
		if (clock_monotonic_ms() >= until)
			return -ETIMEDOUT;
	return r;
}

/* 0: over, gently or (then `*ret_forced`) not. */
static int end_daemon(struct cli *cli, const struct paths *paths, bool keep, uint64_t timeout_ms,
		      struct daemon_status *s, bool *ret_forced, struct error *e)
{
	_cleanup_(closep) int pidfd = open_keeper(paths, s);
	uint64_t until = clock_monotonic_ms() + timeout_ms;
	json_t *body = json_pack("{s:s}", "sessions", keep ? "keep" : "stop");
	struct client_request rq = {
		.method = "POST",
		.target = "/v1/daemon/stop",
		.body = body,
		.once = true,
		.timeout_ms = (unsigned)MIN(timeout_ms, (uint64_t)ANSWER_MS),
	};
	int r;

	*ret_forced = false;
	/* An engine that does not answer is no reason not to end: the keeper can be told itself. */
	if (s->state == DAEMON_PARKED)
		r = -EAGAIN;
	else
		r = client_call(cli->client, &rq, NULL, e);
	json_decref(body);
	if (r < 0 && keep && r != -ECONNRESET)
		return r;
	if (r < 0 && pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	r = await_end(paths, pidfd, keep, until, s, e);
	if (r == -ETIMEDOUT) {
		*ret_forced = true;
		r = daemon_kill(paths, clock_monotonic_ms() + KILL_MS, e);
		if (r == 0)
			r = await_end(paths, pidfd, keep, clock_monotonic_ms() + KILL_MS, s, e);
		if (r == -ETIMEDOUT)
			error_set(e, ERROR_UNAVAILABLE, "the daemon (PID %d) does not end", s->pid);
	}
	return r;
}

/* 0, or the exit status. Nothing to end is no failure: then `s` says so. */
static int stop(struct cli *cli, bool keep, uint64_t timeout_ms, struct daemon_status *s,
		bool *ret_forced)
{
	struct error e = { 0 };
	const struct paths *paths = paths_of(cli, &e);

	*ret_forced = false;
	if (!paths || probe(paths, s, &e) < 0)
		return cli_fail(cli, &e);
	if (is_over(s, keep))
		return 0;
	if (keep && s->lockless) {
		error_set(&e, ERROR_UNAVAILABLE,
			  "%s was removed, and without it the sessions cannot be left to another "
			  "daemon; `reeve daemon stop` ends them",
			  paths->lock);
		return cli_fail(cli, &e);
	}
	return end_daemon(cli, paths, keep, timeout_ms, s, ret_forced, &e) < 0 ? cli_fail(cli, &e)
									       : 0;
}

int cmd_daemon_stop(struct cli *cli, const void *values, int n, char **operands)
{
	const struct stop_values *v = values;
	bool keep = v->sessions && strcmp(v->sessions, "keep") == 0;
	struct daemon_status before, s;
	struct error e = { 0 };
	const struct paths *paths = paths_of(cli, &e);
	uint64_t timeout_ms;
	bool forced;
	int status;

	(void)n;
	(void)operands;
	if (v->sessions && !keep && strcmp(v->sessions, "stop") != 0)
		return cli_usage(cli, "--sessions is stop or keep, not \"%s\"", v->sessions);
	parse_duration_ms(v->timeout ? v->timeout : STOP_MS, &timeout_ms);
	if (!paths || probe(paths, &before, &e) < 0)
		return cli_fail(cli, &e);
	status = stop(cli, keep, timeout_ms, &s, &forced);
	if (status != 0)
		return status;
	if (s.state == DAEMON_PARKED)
		printf("stopped (PID %d keeps its sessions)\n", (int)s.pid);
	else
		daemon_forget(paths);
	if (is_over(&before, keep))
		puts(before.state == DAEMON_STALE ? "not running; cleaned up" : "not running");
	else if (s.state != DAEMON_PARKED)
		printf("stopped (PID %d%s)\n", (int)before.pid,
		       forced ? ", by SIGKILL; the next start ends what is left of its sessions"
			      : "");
	return 0;
}

/* Whether the engine is another program than the one that lies beside the keeper's: that was tried,
 * and did not come to serve (src/keeper/program.c). */
static bool is_the_one_before(pid_t keeper, pid_t engine, char path[PATH_MAX])
{
	struct stat lies, runs;
	char link[32], *slash;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)keeper);
	n = readlink(link, path, PATH_MAX - sizeof("reeved"));
	if (n < 0)
		return false;
	path[n] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "reeved");
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)engine);
	return stat(path, &lies) == 0 && stat(link, &runs) == 0 &&
	       (lies.st_dev != runs.st_dev || lies.st_ino != runs.st_ino);
}

/* An installed program that the keeper cannot use was refused, and all goes on as before. */
static int check_program(struct cli *cli, pid_t keeper)
{
	const struct client_request rq = { .method = "GET",
					   .target = "/v1/daemon",
					   .timeout_ms = ANSWER_MS };
	struct error e = { 0 };
	char path[PATH_MAX];
	json_t *answer = NULL;
	bool refused;

	if (client_call(cli->client, &rq, &answer, &e) < 0)
		return cli_fail(cli, &e);
	refused = is_the_one_before(
		keeper, (pid_t)json_integer_value(json_object_get(answer, "enginePid")), path);
	json_decref(answer);
	if (!refused)
		return 0;
	error_set(
		&e, ERROR_UNAVAILABLE,
		"%s, which was installed since, does not serve the sessions of this daemon (`reeve "
		"daemon logs` says why): it goes on as before; `reeve daemon stop` ends it and its "
		"sessions, and the next start takes what is installed",
		path);
	return cli_fail(cli, &e);
}

int cmd_daemon_restart(struct cli *cli, const void *values, int n, char **operands)
{
	struct daemon_status s;
	uint64_t timeout_ms;
	bool forced;
	int status;

	(void)values;
	(void)n;
	(void)operands;
	parse_duration_ms(STOP_MS, &timeout_ms);
	status = stop(cli, true, timeout_ms, &s, &forced);
	if (status == 0)
		status = start(cli, "restarted", &s);
	return status ? status : check_program(cli, s.pid);
}

/* --- run ------------------------------------------------------------------------------------- */

int cmd_daemon_run(struct cli *cli, const void *values, int n, char **operands)
{
	_cleanup_(freep) char *keeper = NULL;
	struct error e = { 0 };
	const struct paths *paths = paths_of(cli, &e);
	int r = paths ? paths_create(paths, &e) : -EIO;

	(void)values;
	(void)n;
	(void)operands;
	if (r == 0)
		r = daemon_find_keeper(&keeper, &e);
	if (r == 0) {
		execl(keeper, keeper, "--dir", paths->dir, "--foreground", NULL);
		error_set_errno(&e, ERROR_INTERNAL, errno, "execute %s", keeper);
	}
	return cli_fail(cli, &e);
}
