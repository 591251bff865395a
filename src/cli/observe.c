/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c - watching what a session does. */
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/run.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct observe_values {
	bool follow, json, failed;
	const char *categories, *path, *subscriber;
	struct words backends;
};

#define AT(m) offsetof(struct observe_values, m)

static const struct option_spec specs[] = {
	{ .name = "follow", .letter = 'f', .help = "and what comes", .offset = AT(follow) },
	{ .name = "json", .help = "a line of JSON each, as the API tells it", .offset = AT(json) },
	{ .name = "categories",
	  .argument = "LIST",
	  .help = "of lifecycle,file,network,process (default: all)",
	  .type = OPTION_TEXT,
	  .offset = AT(categories) },
	{ .name = "path",
	  .argument = "GLOB",
	  .help = "only events of files whose path matches",
	  .type = OPTION_TEXT,
	  .offset = AT(path) },
	{ .name = "failed", .help = "only what failed", .offset = AT(failed) },
	{ .name = "backend",
	  .argument = "CATEGORY=NAME",
	  .help = "who is to observe a category (repeatable); see `reeve capabilities --probe`",
	  .type = OPTION_WORDS,
	  .offset = AT(backends) },
	{ .name = "subscriber",
	  .argument = "ID",
	  .help = "the events of this subscription (sub-1, ...)",
	  .type = OPTION_TEXT,
	  .offset = AT(subscriber) },
	{ 0 },
};

const struct option_table observe_options = { specs, sizeof(struct observe_values) };

/* The categories of a list with commas as a set; none: 0, which means all. */
static int set_of(const char *categories, unsigned *ret, struct error *e)
{
	static const char *const names[] = { "lifecycle", "file", "network", "process" };
	const char *at = categories && strcmp(categories, "all") != 0 ? categories : NULL;
	unsigned set = 0, i;

	while (at) {
		size_t n = strcspn(at, ",");

		for (i = 0; i < ARRAY_SIZE(names); i++)
			if (strlen(names[i]) == n && strncmp(at, names[i], n) == 0)
				break;
		if (i == ARRAY_SIZE(names))
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "categories: \"%.*s\" is none of lifecycle, file, "
					 "network, process",
					 (int)n, at);
		set |= 1U << i;
		at += n + (at[n] == ',');
		at = *at ? at : NULL;
	}
	*ret = set;
	return 0;
}

/* Whether the subscription has every category that is asked for. */
static bool has_all(const json_t *subscriber, unsigned wanted)
{
	struct error e;
	unsigned set = 0, one;
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(subscriber, "categories"), i, name)
	{
		if (set_of(json_string_value(name), &one, &e) >= 0)
			set |= one;
	}
	return (wanted & ~set) == 0;
}

/* What is there to show events of. */
struct found {
	char *subscriber; /* made before, and nobody reads it; the caller's */
	size_t categories;
	bool busy;   /* somebody reads one that would do */
	bool others; /* there are some, of other categories */
};

static void take_subscriber(struct found *f, const json_t *one)
{
	size_t n = json_array_size(json_object_get(one, "categories"));

	if (n <= f->categories)
		return;
	free(f->subscriber);
	f->subscriber = strdup(json_string_value(json_object_get(one, "subscriberId")));
	f->categories = n;
}

/* The one that tells the most. */
static int find_subscriber(struct cli *cli, const char *session, unsigned wanted, struct found *ret,
			   struct error *e)
{
	json_t *list = NULL, *one;
	size_t i;
	int r = cli_call_session(cli, "GET", session, "/observers", NULL, &list, e);

	json_array_foreach(json_object_get(list, "items"), i, one)
	{
		if (!has_all(one, wanted))
			ret->others = true;
		else if (json_is_true(json_object_get(one, "connected")))
			ret->busy = true;
		else
			take_subscriber(ret, one);
	}
	json_decref(list);
	return r;
}

static int refuse(const struct found *found, const char *session, struct error *e)
{
	return error_set(
		e, ERROR_NOT_FOUND,
		found->busy ? "somebody else reads the events of %s; --subscriber takes them over"
		: found->others
			? "%s was observed, but nobody asked for all of these categories; -f "
			  "watches them from now on"
			: "nobody has observed %s; -f watches it from now on, `reeve run "
			  "--observe` a command from its start",
		session);
}

static int subscribe(struct cli *cli, const char *session, const struct observe_values *v,
		     char **ret, struct error *e)
{
	json_t *body, *answer = NULL;
	int r = observe_body_make(v->categories ? v->categories : "all", &v->backends, &body, e);

	if (r >= 0)
		r = cli_call_session(cli, "POST", session, "/observers", body, &answer, e);
	if (r >= 0)
		*ret = strdup(json_string_value(json_object_get(answer, "subscriberId")));
	json_decref(answer);
	return r;
}

static void unsubscribe(struct cli *cli, const char *session, const char *subscriber)
{
	char rest[64];
	struct error e = { 0 };

	(void)snprintf(rest, sizeof(rest), "/observers/%.40s", subscriber);
	(void)cli_call_session(cli, "DELETE", session, rest, NULL, NULL, &e);
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

/* Watches until the end or a signal; a subscription that was made for it ends with it. */
static int follow(struct cli *cli, const struct watch *w, bool made)
{
	struct sigaction action = { .sa_handler = on_signal };
	pid_t pid;
	int status = 0;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	pid = watch_aside(cli, w);
	if (pid < 0)
		return cli_fail(cli, &(struct error){ ERROR_EXHAUSTED, "fork failed" });
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		if (interrupted)
			kill(pid, SIGKILL);
	if (made)
		unsubscribe(cli, w->session, w->subscriber);
	if (interrupted)
		return EXIT_SIGNAL + interrupted;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status);
}

/* Shows what the subscription of that name has. */
static int watch_subscriber(struct cli *cli, const struct observe_values *v, const char *session,
			    const char *subscriber, unsigned set, bool made)
{
	struct error e = { 0 };
	struct watch w = {
		.session = session,
		.subscriber = subscriber,
		.follow = v->follow,
		.all = true,
		.json = v->json,
		.filter = { v->path, set, v->failed },
		.to = stdout,
	};

	if (v->follow)
		return follow(cli, &w, made);
	return watch_here(cli, &w, &e) < 0 ? cli_fail(cli, &e) : 0;
}

static int watch_session(struct cli *cli, const struct observe_values *v, const char *session)
{
	_cleanup_(freep) char *subscriber = v->subscriber ? strdup(v->subscriber) : NULL;
	struct found found = { 0 };
	struct error e = { 0 };
	unsigned set = 0;
	int r = set_of(v->categories, &set, &e);

	if (r >= 0 && !subscriber && v->backends.n == 0)
		r = find_subscriber(cli, session, set, &found, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (found.subscriber)
		subscriber = found.subscriber;
	if (subscriber)
		return watch_subscriber(cli, v, session, subscriber, set, false);
	r = v->follow ? subscribe(cli, session, v, &subscriber, &e) : refuse(&found, session, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	return watch_subscriber(cli, v, session, subscriber, set, true);
}

/* Runs the command here; its events go to stderr, as strace's do. */
static int watch_command(struct cli *cli, const struct observe_values *v, int n, char **words)
{
	struct run_values run = {
		.observe = v->categories ? v->categories : "all",
		.backends = v->backends,
		.watch = true,
		.watch_json = v->json,
		.watch_path = v->path,
		.watch_failed = v->failed,
	};

	return cmd_run(cli, &run, n, words);
}

int cmd_observe(struct cli *cli, const void *values, int n, char **operands)
{
	const struct observe_values *v = values;
	_cleanup_(freep) char *session = NULL;
	struct error e = { 0 };

	if (strcmp(operands[-1], "--") == 0 && v->subscriber)
		return cli_usage(cli, "--subscriber names one of a session, not of a command");
	if (strcmp(operands[-1], "--") == 0)
		return watch_command(cli, v, n, operands);
	if (n > 1)
		return cli_usage(cli, "one session, or a command behind --");
	if (cli_session(cli, operands[0], &session, &e) < 0)
		return cli_fail(cli, &e);
	return watch_session(cli, v, session);
}
