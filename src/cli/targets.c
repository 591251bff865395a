/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/targets.h"
#include "client/uri.h"
#include <errno.h>
#include <string.h>

#define TARGET_MAX 4096U
#define LIMIT      "8192" /* of those that have ended: all */

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

static int add_labelled(struct cli *cli, struct targets *t, const char *label, bool ended,
			struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	json_t *answer = NULL, *item;
	size_t i;
	int r;

	buffer_init(&target, TARGET_MAX);
	r = buffer_append_text(&target, "/v1/sessions");
	if (r == 0)
		r = uri_query(&target, "label", label);
	if (r == 0)
		r = uri_query(&target, "limit", LIMIT);
	if (r == 0)
		r = uri_query(&target, "all", ended ? "true" : "false");
	if (r < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "the label is too long");
	r = cli_call(cli, "GET", buffer_text(&target), NULL, &answer, e);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(answer, "items"), i, item)
	{
		const char *id = json_string_value(json_object_get(item, "processId"));

		if (r == 0 && id)
			r = add(t, strdup(id), e);
	}
	json_decref(answer);
	return r;
}

int targets_find(struct cli *cli, char **words, int n, const char *label, bool ended,
		 struct targets *ret, struct error *e)
{
	_cleanup_(targets_done) struct targets t = { 0 };
	int r = 0;

	if (n == 0 && !label)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "which sessions? ID... or --label is missing");
	for (int i = 0; i < n && r == 0; i++) {
		char *id;

		r = cli_session(cli, words[i], &id, e);
		if (r == 0)
			r = add(&t, id, e);
	}
	if (r == 0 && label)
		r = add_labelled(cli, &t, label, ended, e);
	if (r == 0) {
		*ret = t;
		t = (struct targets){ 0 };
	}
	return r;
}

int targets_each(struct cli *cli, char **words, int n, const char *label, bool ended,
		 int (*verb)(struct cli *cli, const char *id, const void *values, struct error *e),
		 const void *values)
{
	_cleanup_(targets_done) struct targets t = { 0 };
	struct error e = { 0 };
	int first = 0;

	if (targets_find(cli, words, n, label, ended, &t, &e) < 0)
		return cli_fail(cli, &e);
	for (size_t i = 0; i < t.n; i++) {
		int status = verb(cli, t.ids[i], values, &e);

		if (status < 0)
			status = cli_fail(cli, &e);
		first = first ? first : status;
	}
	return first;
}
