/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - what `run` asks the daemon for. */
#include "base/json.h"
#include "base/parse.h"
#include "cli/context.h"
#include "cli/events.h"
#include "cli/run.h"
#include "cli/terminal.h"
#include "cli/until.h"
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int request_put(json_t *request, const char *name, json_t *value, struct error *e)
{
	if (json_object_set_new(request, name, value) == 0)
		return 0;
	return error_set(e, ERROR_INVALID_ARGUMENT, "%s: not UTF-8, or no memory for it", name);
}

static int put_text(json_t *request, const char *name, const char *text, struct error *e)
{
	return text ? request_put(request, name, json_string(text), e) : 0;
}

static int put_command(json_t *request, const struct run_values *v, int n, char **words,
		       struct error *e)
{
	json_t *list;

	if (v->line && n > 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "-c LINE and a command exclude each other");
	if (v->line)
		return request_put(request, "shell", json_bytes(v->line, strlen(v->line)), e);
	if (n == 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "COMMAND is missing");
	list = json_array();
	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_bytes(words[i], strlen(words[i])));
	return request_put(request, "command", list, e);
}

static int put_labels(json_t *request, const struct words *labels, struct error *e)
{
	json_t *object;

	if (labels->n == 0)
		return 0;
	object = json_object();
	for (unsigned i = 0; i < labels->n; i++) {
		const char *label = labels->items[i];
		const char *equals = strchr(label, '=');

		if (!equals || equals == label ||
		    json_object_setn_new(object, label, (size_t)(equals - label),
					 json_string(equals + 1)) < 0) {
			json_decref(object);
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "--label: \"%s\" is not KEY=VALUE", label);
		}
	}
	return request_put(request, "labels", object, e);
}

static int put_stop(json_t *request, const struct run_values *v, struct error *e)
{
	if (v->stop && (v->stop_signal || v->grace))
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "--stop is the whole plan: no --stop-signal or --grace beside it");
	if (v->stop_signal)
		return request_put(
			request, "stop",
			json_sprintf("%s %s KILL", v->stop_signal, v->grace ? v->grace : "5s"), e);
	if (v->stop)
		return put_text(request, "stop", v->stop, e);
	return put_text(request, "grace", v->grace, e);
}

/* Whether stdin of the command is just nothing, as it is for the caller. */
static bool stdin_is_null(void)
{
	struct stat st;

	return fstat(STDIN_FILENO, &st) < 0 || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

bool run_wants_input(const struct run_values *v)
{
	return v->detach ? v->stdin_pipe : !stdin_is_null();
}

bool run_wants_terminal(const struct run_values *v)
{
	return v->pty || (!v->pipe && !v->detach && !v->merge && terminal_is_here());
}

int run_check(const struct run_values *v, struct error *e)
{
	const struct {
		bool wrong;
		const char *message;
	} rules[] = {
		{ v->pty && v->pipe, "--pty and --pipe exclude each other" },
		{ v->pty && v->merge, "--merge-stderr: a terminal has but one stream" },
		{ v->attach && !v->name, "--attach needs --name" },
		{ v->attach && v->replace, "--attach and --replace exclude each other" },
		{ v->attach && v->key, "--attach and --key exclude each other" },
		{ v->report && v->detach, "--report needs the foreground; see `reeve report`" },
		{ v->report && v->remove, "--report needs what --rm removes" },
		{ v->remove && v->ttl, "--rm is a --ttl of 0s: only one of them" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].wrong)
			return error_set(e, ERROR_INVALID_ARGUMENT, "%s", rules[i].message);
	return 0;
}

/* As wide and high as ours; the daemon's default where we have none. */
static int put_size(json_t *request, struct error *e)
{
	struct winsize size;
	int r = 0;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
			continue;
		r = request_put(request, "rows", json_integer(size.ws_row), e);
		return r < 0 ? r : request_put(request, "cols", json_integer(size.ws_col), e);
	}
	return r;
}

const char *run_on_disconnect(const struct run_values *v)
{
	if (v->on_disconnect || v->detach)
		return v->on_disconnect;
	return isatty(STDIN_FILENO) ? "keep" : "stop";
}

static int put_numbers(json_t *request, const struct run_values *v, struct error *e)
{
	uint64_t pid;
	int r = 0;

	if (v->with_pid && parse_u64(v->with_pid, 1, INT32_MAX, &pid) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "--with-pid: \"%s\" is no pid",
				 v->with_pid);
	if (v->with_pid)
		r = request_put(request, "withPid", json_integer((json_int_t)pid), e);
	if (r == 0 && v->backlog > 0)
		r = request_put(request, "backlogBytes", json_integer((json_int_t)v->backlog), e);
	return r;
}

static int put_observe(json_t *request, const struct run_values *v, struct error *e)
{
	const char *categories = v->observe ? v->observe : v->report ? "all" : NULL;
	json_t *observe;
	int r;

	if (!categories)
		return v->backends.n == 0
			       ? 0
			       : error_set(e, ERROR_INVALID_ARGUMENT, "--backend needs --observe");
	r = observe_body_make(categories, &v->backends, &observe, e);
	return r < 0 ? r : request_put(request, "observe", observe, e);
}

static int put_ready(json_t *request, const struct run_values *v, struct error *e)
{
	json_t *until;
	int r;

	if (v->ready.n == 0 && !v->ready_timeout)
		return 0;
	if (!v->detach || v->ready.n == 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 v->detach ? "--ready-timeout needs --ready" : "--ready needs -d");
	r = until_make(&v->ready, "ready", &until, e);
	if (r < 0)
		return r;
	return request_put(request, "ready",
			   json_pack("{s:o, s:s*}", "until", until, "timeout", v->ready_timeout),
			   e);
}

static int put_texts(json_t *request, const struct run_values *v, struct error *e)
{
	bool terminal = run_wants_terminal(v);
	const char *input = run_wants_input(v) ? "pipe" : "null";
	const struct {
		const char *name;
		const char *text;
	} texts[] = {
		{ "kind", terminal ? "pty" : "pipe" },
		{ "stdin", terminal ? NULL : input },
		{ "name", v->name },
		{ "title", v->title },
		{ "originator", v->originator },
		{ "timeout", v->timeout },
		{ "ttl", v->remove ? "0s" : v->ttl },
		{ "leftovers", v->leftovers },
		{ "onDisconnect", run_on_disconnect(v) },
	};
	int r = terminal ? put_size(request, e) : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
		r = put_text(request, texts[i].name, texts[i].text, e);
	return r;
}

static int put_marks(json_t *request, const struct run_values *v, struct error *e)
{
	const struct {
		const char *name;
		bool set;
	} flags[] = {
		{ "mergeStderr", v->merge },
		{ "replace", v->replace },
		{ "clearEnv", v->clear_env },
	};
	int r = put_labels(request, &v->labels, e);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(flags); i++)
		if (flags[i].set)
			r = request_put(request, flags[i].name, json_true(), e);
	return r;
}

int request_make(json_t *request, const struct run_values *v, int n, char **words, struct error *e)
{
	static int (*const parts[])(json_t *, const struct run_values *, struct error *) = {
		put_texts, put_marks, put_stop, put_numbers, put_ready, put_observe,
	};
	const struct context_options context = {
		.clear = v->clear_env,
		.files = &v->env_files,
		.unset = &v->unset,
		.set = &v->env,
		.cwd = v->cwd,
		.program = v->line ? "sh" : words[0],
	};
	int r = put_command(request, v, n, words, e);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = parts[i](request, v, e);
	return r < 0 ? r : context_add(request, &context, e);
}
