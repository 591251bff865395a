/* SPDX-License-Identifier: Apache-2.0 */
/* leftovers.c - what a command leaves running when it ends: listed, then ended or kept. */
#include "core/stopplan.h"
#include "core/tree.h"
#include "engine/members.h"
#include "engine/session.h"
#include <string.h>

#define LISTED_MAX   32U
#define LISTED_BYTES (NOTES_SIZE - STOP_REASON_MAX - LENT_SIZE)

struct listing {
	json_t *items;
	unsigned n;
};

static int note(const struct tree_member *m, void *userdata)
{
	struct listing *l = userdata;
	char *command;

	if (m->exiting)
		return 0;
	l->n++;
	if (json_array_size(l->items) >= LISTED_MAX)
		return 0;
	command = member_command(m->pid);
	if (command)
		json_array_append_new(
			l->items, json_pack("{s:i, s:s}", "pid", (int)m->pid, "command", command));
	free(command);
	return 0;
}

/* Written once: the words make it count. */
static void store_notes(struct session *s, json_t *notes)
{
	char *region = (char *)s->map + s->layout.notes;
	size_t n;

	/* Commands are long at times: fewer of them then. */
	while ((n = json_dumpb(notes, region, LISTED_BYTES, JSON_COMPACT)) > LISTED_BYTES) {
		json_t *items = json_object_get(notes, "leftovers");

		if (json_array_size(items) == 0)
			return;
		json_array_remove(items, json_array_size(items) - 1);
	}
	word_store(&s->words->notes_size, n);
}

void session_note_leftovers(struct session *s)
{
	struct listing l = { 0 };
	json_t *notes;

	if (!session_tree_alive(s) || word_load(&s->words->stop.requested) != 0 ||
	    word_load(&s->words->notes_size) != 0)
		return;
	l.items = json_array();
	members_each(s, note, &l);
	if (l.n > 0) {
		notes = json_pack("{s:O}", "leftovers", l.items);
		store_notes(s, notes);
		json_decref(notes);
		word_store(&s->words->n_leftovers, l.n);
	}
	json_decref(l.items);
}

json_t *session_leftovers(const struct session *s)
{
	uint64_t n = word_load(&s->words->notes_size);
	json_t *notes, *items;

	if (n == 0 || n > LISTED_BYTES || !s->map)
		return NULL;
	notes = json_loadb((const char *)s->map + s->layout.notes, n, 0, NULL);
	items = json_incref(json_object_get(notes, "leftovers"));
	json_decref(notes);
	return items;
}

void session_check_leftovers(struct session *s)
{
	struct stop_plan plan;

	if (!session_tree_alive(s) || s->leftovers == LEFTOVERS_KEEP ||
	    word_load(&s->words->stop.requested) > word_load(&s->words->stop.finished) ||
	    word_load(&s->words->stop.refused) != 0)
		return;
	session_plan(s, &plan);
	session_stop(s, &plan, CAUSE_LEFTOVERS);
}
