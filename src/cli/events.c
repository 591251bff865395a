/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/events.h"
#include "base/json.h"
#include "base/text.h"
#include "client/uri.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TARGET_MAX 4096U
#define LINE_MAX_  (1 * MiB)

/* --- asking ---------------------------------------------------------------------------------- */

static int put_categories(json_t *body, const char *categories, struct error *e)
{
	static const char *const all = "lifecycle,file,network,process";
	json_t *list = json_array();
	const char *at = strcmp(categories, "all") == 0 ? all : categories;

	json_object_set_new(body, "categories", list);
	do {
		size_t n = strcspn(at, ",");

		if (n == 0 || json_array_append_new(list, json_stringn(at, n)) < 0)
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "categories \"%s\": expected all, or some of "
					 "lifecycle,file,network,process",
					 categories);
		at += n + (at[n] == ',');
	} while (*at);
	return 0;
}

static int put_backends(json_t *body, const struct words *backends, struct error *e)
{
	json_t *object = json_object();

	json_object_set_new(body, "backends", object);
	for (unsigned i = 0; i < backends->n; i++) {
		const char *word = backends->items[i], *is = strchr(word, '=');
		_cleanup_(freep) char *name = is ? strndup(word, (size_t)(is - word)) : NULL;

		if (!name || json_object_set_new(object, name, json_string(is + 1)) < 0)
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "--backend %s: expected CATEGORY=NAME", word);
	}
	return 0;
}

int observe_body_make(const char *categories, const struct words *backends, json_t **ret,
		      struct error *e)
{
	json_t *body = json_object();
	int r = put_categories(body, categories, e);

	if (r >= 0 && backends->n > 0)
		r = put_backends(body, backends, e);
	json_object_set_new(body, "ringCapacityEvents", json_integer(atoi(OBSERVE_CAPACITY)));
	if (r < 0)
		json_decref(body);
	else
		*ret = body;
	return r;
}

/* --- reading --------------------------------------------------------------------------------- */

struct lines {
	struct buffer partial;
	int (*each)(void *data, const json_t *event);
	void *data;
};

static int take_line(struct lines *l, const char *line, size_t n, struct error *e)
{
	json_t *event = NULL;
	int r = json_load_strict(line, n, &event, e);

	if (r >= 0)
		r = l->each(l->data, event);
	json_decref(event);
	return r;
}

static int take_bytes(struct lines *l, const char *bytes, size_t n, struct error *e)
{
	const char *end;
	int r = buffer_append(&l->partial, bytes, n);

	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "events");
	while (r == 0 && (end = memchr(l->partial.data, '\n', l->partial.size))) {
		size_t length = (size_t)(end - l->partial.data);

		r = take_line(l, l->partial.data, length, e);
		buffer_consume(&l->partial, length + 1);
	}
	return r;
}

static int make_target(struct buffer *target, const char *session, const char *subscriber,
		       bool follow, bool all, bool beside)
{
	int r = uri_session(target, session, "/observers/");

	if (r >= 0)
		r = uri_encode(target, subscriber);
	if (r >= 0)
		r = buffer_append_text(target, "/events");
	if (r >= 0 && !follow)
		r = uri_query(target, "follow", "false");
	if (r >= 0 && beside)
		r = uri_query(target, "attach", "false");
	return r < 0 ? r : uri_query(target, "seq", all ? "0" : NULL);
}

static int read_events(struct cli *cli, const char *session, const char *subscriber, bool follow,
		       bool all, bool beside, int (*each)(void *data, const json_t *event),
		       void *data, struct error *e)
{
	_cleanup_(buffer_done) struct buffer target = { .max = TARGET_MAX };
	struct lines lines = { .partial = { .max = LINE_MAX_ }, .each = each, .data = data };
	struct client *client = cli_client(cli, e);
	struct client_request rq = { .method = "GET" };
	const struct http_head *head;
	const char *bytes;
	size_t n;
	int r = client ? make_target(&target, session, subscriber, follow, all, beside) : -EIO;

	rq.target = buffer_text(&target);
	if (r >= 0)
		r = client_open(client, &rq, &head, e);
	while (r >= 0 && (r = http_client_body(client_http(client), &bytes, &n, e)) > 0) {
		r = take_bytes(&lines, bytes, n, e);
		if (r != 0)
			break;
	}
	buffer_done(&lines.partial);
	return r;
}

int events_read(struct cli *cli, const char *session, const char *subscriber, bool follow, bool all,
		int (*each)(void *data, const json_t *event), void *data, struct error *e)
{
	return read_events(cli, session, subscriber, follow, all, false, each, data, e);
}

int events_read_beside(struct cli *cli, const char *session, const char *subscriber,
		       int (*each)(void *data, const json_t *event), void *data, struct error *e)
{
	return read_events(cli, session, subscriber, false, true, true, each, data, e);
}

char *event_text(const json_t *event, const char *name)
{
	char *text = NULL;
	size_t n;

	return json_bytes_decode(json_object_get(event, name), &text, &n) < 0 ? NULL : text;
}

char **event_words(const json_t *event)
{
	const json_t *argv = json_object_get(event, "argv");
	_cleanup_(text_list_freep) char **words = NULL;
	size_t n = json_array_size(argv), size;

	words = n > 0 ? calloc(n + 1, sizeof(*words)) : NULL;
	for (size_t i = 0; words && i < n; i++)
		if (json_bytes_decode(json_array_get(argv, i), &words[i], &size) < 0)
			return NULL;
	return take(words);
}

/* --- watching -------------------------------------------------------------------------------- */

struct show {
	const struct watch *watch;
	const char *cwd;
	int failed; /* writing: errno */
};

static int show_event(void *data, const json_t *event)
{
	struct show *s = data;
	FILE *to = s->watch->to;

	if (!event_matches(&s->watch->filter, event, s->cwd))
		return 0;
	if (s->watch->json) {
		json_dumpf(event, to, JSON_COMPACT);
		fputc('\n', to);
	} else {
		event_print(to, event, s->cwd);
	}
	if ((s->watch->follow ? fflush(to) : ferror(to)) == 0)
		return 0;
	s->failed = errno;
	return -EPIPE;
}

/* What is to be said of a category, between its name and the reason. NULL: nothing. */
static const char *gap_of(const struct event_filter *f, const char *support)
{
	if (strcmp(support, "unavailable") == 0)
		return "is not observed";
	return f->failed && strcmp(support, "partial") == 0
		       ? "is observed in part, and what fails may not be seen"
		       : NULL;
}

/* Who sees no events shall not take it for proof that nothing happened. */
static void say_what_is_not_seen(struct cli *cli, const struct watch *w)
{
	json_t *subscriber = NULL, *c;
	struct error e = { 0 };
	char rest[64];
	size_t i;

	(void)snprintf(rest, sizeof(rest), "/observers/%.40s", w->subscriber);
	(void)cli_call_session(cli, "GET", w->session, rest, NULL, &subscriber, &e);
	json_array_foreach(json_object_get(subscriber, "capabilities"), i, c)
	{
		const char *category = json_string_value(json_object_get(c, "category"));
		const char *support = json_string_value(json_object_get(c, "support"));
		const char *gap = support ? gap_of(&w->filter, support) : NULL;

		if (category && gap && event_category_is_in(w->filter.categories, category))
			fprintf(stderr, "reeve: %s %s: %s\n", category, gap,
				json_string_value(json_object_get(c, "reason")));
	}
	json_decref(subscriber);
}

int watch_here(struct cli *cli, const struct watch *w, struct error *e)
{
	_cleanup_(freep) char *cwd = NULL;
	struct show s = { .watch = w };
	json_t *session = NULL;
	int r = cli_call_session(cli, "GET", w->session, "", NULL, &session, e);

	if (r < 0)
		return r;
	cwd = event_text(session, "cwd");
	json_decref(session);
	s.cwd = cwd;
	say_what_is_not_seen(cli, w);
	r = events_read(cli, w->session, w->subscriber, w->follow, w->all, show_event, &s, e);
	if (r != -EPIPE || s.failed == 0)
		return r;
	if (!w->follow)
		return 0; /* what cannot be written is told at the very end */
	return s.failed == EPIPE ? r : error_set_errno(e, ERROR_INTERNAL, s.failed, "write");
}

pid_t watch_aside(struct cli *cli, const struct watch *w)
{
	static const int passed[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP };
	struct cli own = { .client_flags = cli->client_flags };
	struct error e = { 0 };
	pid_t pid;
	int r;

	(void)fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid < 0 ? -errno : pid;
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		(void)signal(passed[i], SIG_IGN);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = watch_here(&own, w, &e);
	if (e.message[0])
		fprintf(stderr, "reeve: events: %s\n", e.message);
	(void)fflush(w->to);
	_exit(r == -EPIPE && !e.message[0] ? EXIT_SIGNAL + SIGPIPE : r < 0);
}
