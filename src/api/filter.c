/* SPDX-License-Identifier: Apache-2.0 */
#include "api/filter.h"
#include "base/clock.h"
#include <string.h>

#define LABELS_MAX     TARGET_QUERY_MAX
#define ORIGINATOR_MAX 512

static const struct json_name statuses[] = {
	{ "starting", 1 }, { "running", 2 }, { "stopping", 3 }, { "exited", 4 },
	{ "stopped", 5 },  { "failed", 6 },  { NULL, 0 },
};

#define AT(member) .offset = offsetof(struct session_filter, member)

const struct json_field filter_fields[] = {
	{ .name = "status", .type = FIELD_ENUM, AT(status), .names = statuses },
	{ .name = "label", .type = FIELD_WORDS, AT(labels), .min = 1, .max = LABELS_MAX },
	{ .name = "originator", .type = FIELD_STRING, AT(originator), .max = ORIGINATOR_MAX },
	{ .name = "olderThan", .type = FIELD_DURATION, AT(older_ms) },
	{ 0 },
};

void filter_done(struct session_filter *f)
{
	json_read_done(filter_fields, f);
}

/* A label without a key would fit none, or by mistake of a later day, all. */
static int check_labels(const struct json_list *labels, struct error *err)
{
	for (size_t i = 0; i < labels->n; i++)
		if (labels->items[i][0] == '\0' || labels->items[i][0] == '=')
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "label \"%s\": expected KEY or KEY=VALUE",
					 labels->items[i]);
	return 0;
}

static int filter_read(const json_t *json, struct session_filter *ret, struct error *err)
{
	int r = json_read(json, filter_fields, ret, err);

	return r < 0 ? r : check_labels(&ret->labels, err);
}

/* The query as the body that says the same. */
int filter_from_query(const struct request *rq, struct session_filter *ret, struct error *err)
{
	const char *labels[TARGET_QUERY_MAX];
	unsigned n = request_query_all(rq, "label", labels);
	json_t *body = json_pack("{s:s*, s:s*, s:s*}", "status", request_query(rq, "status"),
				 "originator", request_query(rq, "originator"), "olderThan",
				 request_query(rq, "olderThan"));
	json_t *list = json_array();
	int r;

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_string(labels[i]));
	if (n > 0)
		json_object_set(body, "label", list);
	r = filter_read(body, ret, err);
	json_decref(list);
	json_decref(body);
	return r;
}

int filter_from_body(struct request *rq, struct session_filter *ret, struct error *err)
{
	json_t *json;
	int r = request_json(rq, &json, err);

	return r < 0 ? r : filter_read(json, ret, err);
}

static bool has_label(const struct session *s, const char *label)
{
	size_t n = strlen(label);

	for (char **p = s->labels; p && *p; p++)
		if (strcmp(*p, label) == 0 ||
		    (!strchr(label, '=') && strncmp(*p, label, n) == 0 && (*p)[n] == '='))
			return true;
	return false;
}

bool session_fits(const struct session *s, const struct session_filter *f)
{
	if (f->status && strcmp(session_status(s), json_name_of(statuses, f->status)) != 0)
		return false;
	for (size_t i = 0; i < f->labels.n; i++)
		if (!has_label(s, f->labels.items[i]))
			return false;
	if (f->older_ms > 0 && word_load(&s->words->created) + f->older_ms > clock_realtime_ms())
		return false;
	return !f->originator || (s->originator && strcmp(s->originator, f->originator) == 0);
}

bool session_is_live(const struct session *s)
{
	return !session_ended(s) || session_tree_alive(s);
}
