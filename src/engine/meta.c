/* SPDX-License-Identifier: Apache-2.0 */
/* meta.c - the part of a session that never changes: JSON behind its length, in the session's
 * memory. */
#include "base/json.h"
#include "base/text.h"
#include "core/stopplan.h"
#include "core/summary.h"
#include "engine/card.h"
#include "engine/session.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define SUMMARY_MAX 1024

int meta_store(int memory, uint64_t offset, uint64_t size, const char *text, size_t n)
{
	uint64_t length = n;
	struct iovec pieces[2] = { { &length, sizeof(length) }, { (char *)text, n } };
	ssize_t written;

	if (n + sizeof(length) > size)
		return -EFBIG;
	written = pwritev(memory, pieces, 2, (off_t)offset);
	if (written < 0)
		return -errno;
	return (uint64_t)written == sizeof(length) + n ? 0 : -ENOMEM;
}

json_t *meta_load(const struct session *s)
{
	const char *region = (const char *)s->map + s->layout.meta;
	uint64_t length;

	memcpy(&length, region, sizeof(length));
	if (length > word_load(&s->words->meta_size) - sizeof(length))
		return NULL;
	return json_loadb(region + sizeof(length), length, JSON_REJECT_DUPLICATES, NULL);
}

static char *copy_string(const json_t *meta, const char *key)
{
	const char *text = json_string_value(json_object_get(meta, key));

	return text ? strdup(text) : NULL;
}

static char *make_summary(const json_t *meta)
{
	const json_t *command = json_object_get(meta, "command");
	size_t n = json_array_size(command), size;
	char **argv, *summary = NULL;
	bool ok;

	if (json_is_true(json_object_get(meta, "summarized")))
		return strdup(json_string_value(json_array_get(command, 0)) ?: "?");
	argv = calloc(n + 1, sizeof(*argv));
	ok = argv && n > 0;

	for (size_t i = 0; ok && i < n; i++)
		ok = json_bytes_decode(json_array_get(command, i), &argv[i], &size) >= 0;
	if (ok && summary_make(argv, n, SUMMARY_MAX, &summary) < 0)
		summary = NULL;
	text_list_free(argv);
	return summary;
}

static char **copy_labels(const json_t *meta)
{
	json_t *labels = json_object_get(meta, "labels"), *value;
	size_t n = 0, count = json_object_size(labels);
	const char *key;
	char **list;

	if (count == 0)
		return NULL;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return NULL;
	json_object_foreach(labels, key, value) if (asprintf(&list[n], "%s=%s", key,
							     json_string_value(value) ?: "") >= 0)
		n++;
	list[n] = NULL;
	return list;
}

static void read_plan(struct session *s, const json_t *meta)
{
	const char *text = json_string_value(json_object_get(meta, "stop"));
	struct stop_plan plan;

	if (!text || parse_stop_plan(text, &plan) < 0)
		return;
	s->plan = malloc(sizeof(plan));
	if (s->plan)
		*s->plan = plan;
}

static enum leftovers read_leftovers(const json_t *meta)
{
	const char *text = json_string_value(json_object_get(meta, "leftovers"));

	if (text && strcmp(text, "keep") == 0)
		return LEFTOVERS_KEEP;
	return text && strcmp(text, "fail") == 0 ? LEFTOVERS_FAIL : LEFTOVERS_KILL;
}

int meta_read(struct session *s, struct error *err)
{
	json_t *meta = meta_load(s);

	if (!json_is_object(meta)) {
		json_decref(meta);
		return error_set(err, ERROR_INTERNAL, "the metadata of slot %u is damaged",
				 s->slot);
	}
	s->name = copy_string(meta, "name");
	s->originator = copy_string(meta, "originator");
	s->summary = make_summary(meta);
	s->labels = copy_labels(meta);
	s->leftovers = read_leftovers(meta);
	read_plan(s, meta);
	s->card = card_make(s, meta);
	json_decref(meta);
	return 0;
}

void meta_forget(struct session *s)
{
	free(s->name);
	free(s->originator);
	free(s->summary);
	free(s->card);
	free(s->plan);
	s->labels = text_list_free(s->labels);
}
