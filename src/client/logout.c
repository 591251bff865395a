/* SPDX-License-Identifier: Apache-2.0 */
#include "client/logout.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP_MAX 65536U
#define ANSWER_MAX 4096U
#define ANSWER_MS  2000U

/* --- deciding -------------------------------------------------------------------------------- */

enum logout_answer logout_decide(const struct logout_facts *f)
{
	if (!f->systemd || f->place == LOGOUT_PLACE_NONE)
		return LOGOUT_SURVIVES;
	if (f->place == LOGOUT_PLACE_MANAGER)
		return f->lingers;
	return f->place == LOGOUT_PLACE_SCOPE ? f->kills : LOGOUT_UNKNOWN;
}

char *logout_explain(const struct logout_facts *f, char buf[LOGOUT_HINT_MAX])
{
	if (f->place == LOGOUT_PLACE_MANAGER)
		snprintf(buf, LOGOUT_HINT_MAX,
			 "sessions end when you log out, because the daemon runs in %s; "
			 "`loginctl enable-linger` keeps them",
			 f->unit);
	else
		snprintf(buf, LOGOUT_HINT_MAX,
			 "sessions end when you log out, because the daemon runs in %s and logind "
			 "kills what is left there (KillUserProcesses); to keep them, "
			 "`loginctl enable-linger`, and start the daemon with "
			 "`systemd-run --user --scope reeve daemon start`",
			 f->unit);
	return buf;
}

/* The path in the hierarchy that systemd manages: its own where there is one, else the unified. */
static const char *managed_path(const char *text)
{
	const char *own = strstr(text, ":name=systemd:");

	if (own)
		return own + strlen(":name=systemd:");
	if (strncmp(text, "0::", 3) == 0)
		return text + 3;
	own = strstr(text, "\n0::");
	return own ? own + 4 : NULL;
}

/* Whether `name` is `before`, a number, `after`. */
static bool is_numbered(const char *name, const char *before, const char *after, uid_t *ret)
{
	size_t n = strlen(before);
	char *end;
	unsigned long number;

	if (strncmp(name, before, n) != 0 || name[n] < '0' || name[n] > '9')
		return false;
	number = strtoul(name + n, &end, 10);
	if (strcmp(end, after) != 0)
		return false;
	*ret = (uid_t)number;
	return true;
}

static bool is_scope(const char *name)
{
	size_t n = strlen(name), after = strlen(".scope");

	return strncmp(name, "session-", 8) == 0 && n > 8 + after &&
	       strcmp(name + n - after, ".scope") == 0;
}

void logout_parse_cgroup(const char *text, struct logout_facts *ret)
{
	const char *path = managed_path(text);
	bool in_slice = false;

	ret->place = path && *path == '/' ? LOGOUT_PLACE_NONE : LOGOUT_PLACE_UNKNOWN;
	ret->unit[0] = '\0';
	while (path && *path == '/') {
		char name[LOGOUT_UNIT_MAX];
		size_t n = strcspn(++path, "/\n");

		snprintf(name, sizeof(name), "%.*s", (int)MIN(n, sizeof(name)), path);
		path += n;
		if (is_numbered(name, "user@", ".service", &ret->owner))
			ret->place = LOGOUT_PLACE_MANAGER;
		else if (in_slice && is_scope(name))
			ret->place = LOGOUT_PLACE_SCOPE;
		in_slice = is_numbered(name, "user-", ".slice", &ret->owner);
		if (ret->place == LOGOUT_PLACE_NONE)
			continue;
		memcpy(ret->unit, name, sizeof(name));
		return;
	}
}

/* The value of a property: up to the end of its line. NULL when it is not there. */
static const char *property(const char *text, const char *name, size_t *ret_size)
{
	size_t n = strlen(name);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) == 0 && line[n] == '=') {
			*ret_size = strcspn(line + n + 1, "\n");
			return line + n + 1;
		}
	}
	return NULL;
}

static bool has_word(const char *words, size_t size, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= size; i++)
		if ((i == 0 || words[i - 1] == ' ') && memcmp(words + i, word, n) == 0 &&
		    (i + n == size || words[i + n] == ' '))
			return true;
	return false;
}

enum logout_answer logout_parse_manager(const char *text, const char *user)
{
	size_t n_kill, n_only, n_exclude;
	const char *kill = property(text, "KillUserProcesses", &n_kill);
	const char *only = property(text, "KillOnlyUsers", &n_only);
	const char *exclude = property(text, "KillExcludeUsers", &n_exclude);

	if (!kill || !only || !exclude)
		return LOGOUT_UNKNOWN;
	if (has_word(exclude, n_exclude, user))
		return LOGOUT_SURVIVES;
	if (n_only > 0)
		return has_word(only, n_only, user) ? LOGOUT_ENDS : LOGOUT_SURVIVES;
	return has_word(kill, n_kill, "yes") ? LOGOUT_ENDS : LOGOUT_SURVIVES;
}

enum logout_answer logout_parse_linger(const char *text)
{
	size_t n;
	const char *linger = property(text, "Linger", &n);

	if (!linger)
		return LOGOUT_UNKNOWN;
	return has_word(linger, n, "yes") ? LOGOUT_SURVIVES : LOGOUT_ENDS;
}

/* --- looking --------------------------------------------------------------------------------- */

/* Reads to the end, or until the time is up. */
static bool read_answer(int fd, char text[ANSWER_MAX])
{
	uint64_t until = clock_monotonic_ms() + ANSWER_MS, now;
	size_t size = 0;

	while ((now = clock_monotonic_ms()) < until && size < ANSWER_MAX - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, (int)(until - now)) <= 0)
			continue;
		n = read(fd, text + size, ANSWER_MAX - 1 - size);
		if (n <= 0)
			return n == 0;
		size += (size_t)n;
		text[size] = '\0';
	}
	return false;
}

static bool ask_logind(char *const argv[], char text[ANSWER_MAX])
{
	posix_spawn_file_actions_t actions;
	bool answered = false;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) == 0) {
		ends[1] = fd_close(ends[1]);
		answered = read_answer(ends[0], text);
		kill(pid, SIGKILL); /* not yet reaped: it is no other's pid */
		waitpid(pid, NULL, 0);
	}
	posix_spawn_file_actions_destroy(&actions);
	fd_close(ends[0]);
	fd_close(ends[1]);
	return answered;
}

/* The user's name comes from logind, too: a static program has no other way to any but local ones.
 */
static void ask_about_user(struct logout_facts *f)
{
	char uid[16], user[ANSWER_MAX] = "", manager[ANSWER_MAX] = "", *name;
	char *const about_user[] = { "loginctl",        "show-user",         uid,
				     "--property=Name", "--property=Linger", NULL };
	char *const about_manager[] = { "loginctl",
					"show-session",
					"--property=KillUserProcesses",
					"--property=KillOnlyUsers",
					"--property=KillExcludeUsers",
					NULL };
	size_t n;

	snprintf(uid, sizeof(uid), "%u", (unsigned)f->owner);
	if (!ask_logind(about_user, user))
		return;
	f->lingers = logout_parse_linger(user);
	name = (char *)property(user, "Name", &n);
	if (!name || f->place != LOGOUT_PLACE_SCOPE || !ask_logind(about_manager, manager))
		return;
	name[n] = '\0';
	f->kills = logout_parse_manager(manager, name);
}

bool logout_is_managed(void)
{
	return access("/run/systemd/system", F_OK) == 0; /* sd_booted(3) */
}

void logout_look(pid_t keeper, struct logout_facts *ret)
{
	_cleanup_(freep) char *text = NULL;
	struct logout_facts f = { .systemd = logout_is_managed() };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)keeper);
	if (f.systemd && fd_read_file(path, CGROUP_MAX, &text, NULL) == 0)
		logout_parse_cgroup(text, &f);
	if (f.unit[0])
		ask_about_user(&f);
	*ret = f;
}
