/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.c - finds a session by what a person or program calls it. */
#include "base/buffer.h"
#include "base/parse.h"
#include "engine/session.h"
#include <string.h>

#define CANDIDATES_MAX 8

/* FNV-1a. */
static unsigned place_of(const char *text)
{
	uint32_t hash = 2166136261U;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619U;
	return (hash ^ hash >> 16) % LOOKUP_PLACES;
}

static struct session **keyed(struct engine *e, uint64_t hash)
{
	return &e->lookup.by_key[hash % LOOKUP_PLACES];
}

static uint64_t key_of(const struct session *s)
{
	return word_load(&s->words->key_hash[0]);
}

void lookup_add(struct session *s)
{
	struct lookup *l = &s->engine->lookup;
	struct session **place = &l->by_id[place_of(s->id)];

	s->next_by_id = *place;
	*place = s;
	if (key_of(s) != 0) {
		place = keyed(s->engine, key_of(s));
		s->next_by_key = *place;
		*place = s;
	}
	if (s->name && !session_ended(s)) {
		place = &l->by_name[place_of(s->name)];
		s->next_by_name = *place;
		*place = s;
	}
}

void lookup_remove(struct session *s)
{
	struct lookup *l = &s->engine->lookup;
	struct session **at = &l->by_id[place_of(s->id)];

	while (*at && *at != s)
		at = &(*at)->next_by_id;
	if (*at)
		*at = s->next_by_id;
	at = keyed(s->engine, key_of(s));
	while (*at && *at != s)
		at = &(*at)->next_by_key;
	if (*at)
		*at = s->next_by_key;
	at = s->name ? &l->by_name[place_of(s->name)] : NULL;
	while (at && *at && *at != s)
		at = &(*at)->next_by_name;
	if (at && *at)
		*at = s->next_by_name;
}

unsigned *lookup_last_number(struct engine *e, const char *base)
{
	return &e->lookup.last_number[place_of(base)];
}

struct session *session_by_name(struct engine *e, const char *name)
{
	struct session **at = &e->lookup.by_name[place_of(name)], *s;

	while ((s = *at)) {
		if (session_ended(s))
			*at = s->next_by_name; /* for good: it never lives again */
		else if (strcmp(s->name, name) == 0)
			return s;
		else
			at = &s->next_by_name;
	}
	return NULL;
}

struct session *session_by_key(struct engine *e, const uint64_t hash[2])
{
	for (struct session *s = *keyed(e, hash[0]); s; s = s->next_by_key)
		if (key_of(s) == hash[0] && word_load(&s->words->key_hash[1]) == hash[1])
			return s;
	return NULL;
}

static struct session *by_id(struct engine *e, const char *key)
{
	for (struct session *s = e->lookup.by_id[place_of(key)]; s; s = s->next_by_id)
		if (strcmp(s->id, key) == 0)
			return s;
	return NULL;
}

static struct session *by_handle(struct engine *e, const char *key)
{
	uint64_t handle;

	if (parse_u64(key, 1, UINT64_MAX, &handle) < 0)
		return NULL;
	for (struct session *s = e->last; s; s = s->older)
		if (word_load(&s->words->handle) == handle)
			return s;
	return NULL;
}

static struct session *by_ended_name(struct engine *e, const char *key)
{
	for (struct session *s = e->last; s; s = s->older)
		if (s->name && strcmp(s->name, key) == 0)
			return s;
	return NULL;
}

static int by_prefix(struct engine *e, const char *key, struct session **ret, struct error *err)
{
	_cleanup_(buffer_done) struct buffer names = { .max = 1024 };
	struct session *found = NULL;
	unsigned n = 0;

	for (struct session *s = e->last; s && *key; s = s->older) {
		if (strncmp(s->id, key, strlen(key)) != 0)
			continue;
		found = s;
		if (n++ < CANDIDATES_MAX)
			buffer_printf(&names, "%s%s", n > 1 ? ", " : "", s->id);
	}
	if (n == 0)
		return error_set(err, ERROR_NOT_FOUND,
				 "no session \"%s\"; `reeve ps -a` lists them all", key);
	if (n > 1)
		return error_set(err, ERROR_INVALID_ARGUMENT, "\"%s\" fits %u sessions: %s%s", key,
				 n, buffer_text(&names), n > CANDIDATES_MAX ? ", ..." : "");
	*ret = found;
	return 0;
}

int session_find(struct engine *e, const char *key, struct session **ret, struct error *err)
{
	struct session *s = by_id(e, key);

	if (!s)
		s = by_handle(e, key);
	if (!s)
		s = session_by_name(e, key);
	if (!s)
		s = by_ended_name(e, key);
	if (!s)
		return by_prefix(e, key, ret, err);
	*ret = s;
	return 0;
}
