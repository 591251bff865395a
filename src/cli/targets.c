/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/targets.h"
#include "client/scan.h"
#include "client/uri.h"
#include <errno.h>
#include <string.h>

#define TARGET_MAX (32U * 1024U)
#define ID_MAX     64U
#define LIMIT      "8192" /* of those that have ended: all */

bool selection_given(const struct selection *s)
{
	return s->labels.n > 0 || s->originator || s->status || s->older_than;
}

void targets_done(struct targets *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->ids[i]);
	free(t->ids);
	*t = (struct targets){ 0 };
}

/* Takes over `id`. */
static int add(struct targets *t, char *id, struct error *e)
{
	char **ids = id ? reallocarray(t->ids, t->n + 1, sizeof(*ids)) : NULL;

	if (!ids) {
		free(id);
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "list of sessions");
	}
	t->ids = ids;
	t->ids[t->n++] = id;
	return 0;
}

int selection_query(struct buffer *b, const struct selection *s)
{
	int r = uri_query(b, "originator", s->originator);

	for (unsigned i = 0; i < s->labels.n && r == 0; i++)
		r = uri_query(b, "label", s->labels.items[i]);
	if (r == 0)
		r = uri_query(b, "status", s->status);
	return r < 0 ? r : uri_query(b, "olderThan", s->older_than);
}

static int format_list(const struct selection *s, bool ended, struct buffer *b)
{
	int r = buffer_append_text(b, "/v1/sessions");

	if (r == 0)
		r = selection_query(b, s);
	if (r == 0)
		r = uri_query(b, "limit", LIMIT);
	return r < 0 ? r : uri_query(b, "all", ended || s->status ? "true" : "false");
}

static int add_described(struct cli *cli, struct targets *t, const struct selection *s, bool ended,
			 struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	_cleanup_(buffer_done) struct buffer answer;
	struct scan_value item;
	char id[ID_MAX];
	struct scan scan;
	int r;

	buffer_init(&target, TARGET_MAX);
	buffer_init(&answer, CLIENT_ANSWER_MAX);
	if (format_list(s, ended, &target) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "an argument is too long");
	r = cli_get_text(cli, buffer_text(&target), &answer, e);
	if (r < 0)
		return r;
	scan_init(&scan,
		  scan_get((struct scan_value){ buffer_text(&answer), answer.size }, "items"));
	while (r == 0 && scan_item(&scan, &item))
		r = add(t, strdup(scan_text(scan_get(item, "processId"), id, sizeof(id))), e);
	return r;
}

static int add_named(struct cli *cli, struct targets *t, char **words, int n, struct error *e)
{
	int r = 0;

	for (int i = 0; i < n && r == 0; i++) {
		char *id;

		r = cli_session(cli, words[i], &id, e);
		if (r == 0)
			r = add(t, id, e);
	}
	return r;
}

int targets_find(struct cli *cli, char **words, int n, const struct selection *s, bool ended,
		 struct targets *ret, struct error *e)
{
	_cleanup_(targets_done) struct targets t = { .described = selection_given(s) };
	int r;

	if (n == 0 && !t.described)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "which sessions? ID... or --label is missing");
	if (n > 0 && t.described)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "sessions are either named (\"%s\") or described by options",
				 words[0]);
	r = t.described ? add_described(cli, &t, s, ended, e) : add_named(cli, &t, words, n, e);
	if (r == 0) {
		*ret = t;
		t = (struct targets){ 0 };
	}
	return r;
}

int targets_each(struct cli *cli, char **words, int n, const struct selection *s, bool ended,
		 int (*verb)(struct cli *cli, const char *id, const void *values, struct error *e),
		 const void *values)
{
	_cleanup_(targets_done) struct targets t = { 0 };
	struct error e = { 0 };
	int first = 0;

	if (targets_find(cli, words, n, s, ended, &t, &e) < 0)
		return cli_fail(cli, &e);
	for (size_t i = 0; i < t.n; i++) {
		int status = verb(cli, t.ids[i], values, &e);

		if (status < 0)
			status = cli_fail(cli, &e);
		first = first ? first : status;
	}
	return first;
}
