/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/card.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "core/summary.h"
#include <string.h>

/* The redacted argv. */
static json_t *show_command(const json_t *command)
{
	size_t n = json_array_size(command), size;
	char **argv = calloc(n + 1, sizeof(*argv)), **clean = NULL;
	json_t *list = json_array();
	bool ok = argv != NULL;

	for (size_t i = 0; ok && i < n; i++)
		ok = json_bytes_decode(json_array_get(command, i), &argv[i], &size) >= 0;
	if (ok && redact_argv(argv, n, &clean) >= 0)
		for (size_t i = 0; clean[i]; i++)
			json_array_append_new(list, json_bytes(clean[i], strlen(clean[i])));
	text_list_free(argv);
	text_list_free(clean);
	return list;
}

static void add_meta(json_t *o, const json_t *meta)
{
	static const char *const copied[] = { "name",
					      "title",
					      "originator",
					      "labels",
					      "cwd",
					      "origin",
					      "taskId",
					      "threadId",
					      "turnId",
					      "parentId",
					      "runnerDestinationId",
					      "runnerSessionId",
					      "warnings" };
	json_t *value;

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		value = json_object_get(meta, copied[i]);
		if (value)
			json_object_set(o, copied[i], value);
	}
	value = json_object_get(meta, "command");
	if (json_is_true(json_object_get(meta, "summarized")))
		json_object_set(o, "command", value);
	else
		json_object_set_new(o, "command", show_command(value));
	if (!json_object_get(o, "origin"))
		json_object_set_new(o, "origin", json_string("command_exec"));
}

char *card_make(const struct session *s, const json_t *meta)
{
	const struct control_slot *w = s->words;
	char created[CLOCK_TEXT_MAX], *text;
	json_t *o = json_object();
	size_t n;

	json_object_set_new(o, "id", json_string(s->id));
	json_object_set_new(o, "processId", json_string(s->id));
	json_object_set_new(o, "handle", json_integer((json_int_t)word_load(&w->handle)));
	json_object_set_new(o, "kind", json_string(session_is_pty(s) ? "pty" : "pipe"));
	add_meta(o, meta);
	json_object_set_new(o, "commandSummary", json_string(s->summary ? s->summary : ""));
	json_object_set_new(o, "createdAt",
			    json_string(clock_format(word_load(&w->created), created)));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text)
		return NULL;
	n = strlen(text) - 2;
	memmove(text, text + 1, n);
	text[n] = '\0';
	return text;
}
