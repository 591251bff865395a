/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.c - finds a session by what a person or program calls it. */
#include "base/buffer.h"
#include "base/parse.h"
#include "engine/session.h"
#include <string.h>

#define CANDIDATES_MAX 8

struct session *session_by_name(struct engine *e, const char *name)
{
	for (struct session *s = e->last; s; s = s->older)
		if (s->name && strcmp(s->name, name) == 0 && !session_ended(s))
			return s;
	return NULL;
}

struct session *session_by_key(struct engine *e, const uint64_t hash[2])
{
	for (struct session *s = e->last; s; s = s->older)
		if (word_load(&s->words->key_hash[0]) == hash[0] &&
		    word_load(&s->words->key_hash[1]) == hash[1])
			return s;
	return NULL;
}

static struct session *by_id(struct engine *e, const char *key)
{
	for (struct session *s = e->last; s; s = s->older)
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
		return error_set(err, ERROR_INVALID_ARGUMENT, "\"%s\" fits %u sessions: %s%s", key, n,
				 buffer_text(&names), n > CANDIDATES_MAX ? ", ..." : "");
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
