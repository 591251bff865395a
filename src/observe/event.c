/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/event.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Packed: a struct header, the event with its pointers cleared, then for each text that is there
 * its bytes with a NUL. */
struct header {
	uint32_t version;
	uint32_t size;       /* of all */
	uint32_t lengths[8]; /* of the texts, NUL included; 0: there is none */
};

/* The texts, `source` first. `argv` may hold NULs. */
static const size_t texts[] = {
	offsetof(struct reeve_event, source),     offsetof(struct reeve_event, comm),
	offsetof(struct reeve_event, path),       offsetof(struct reeve_event, path2),
	offsetof(struct reeve_event, cwd),        offsetof(struct reeve_event, argv),
	offsetof(struct reeve_event, local.path), offsetof(struct reeve_event, remote.path),
};

#define N_TEXTS ARRAY_SIZE(texts)
#define ARGV    5U

_Static_assert(ARRAY_SIZE(((struct header *)0)->lengths) == N_TEXTS, "a length for each text");
_Static_assert(sizeof(struct header) + sizeof(struct reeve_event) +
			       N_TEXTS * (size_t)EVENT_TEXT_MAX + 64 <=
		       EVENT_SIZE_MAX,
	       "EVENT_SIZE_MAX is large enough");

static const char **text_of(struct reeve_event *e, size_t i)
{
	return (const char **)((char *)e + texts[i]);
}

static const char *text_in(const struct reeve_event *e, size_t i)
{
	return *(const char *const *)((const char *)e + texts[i]);
}

/* What is kept of a text, its NUL included. */
static size_t length_of(const struct reeve_event *e, size_t i)
{
	const char *text = text_in(e, i);

	if (!text)
		return 0;
	if (i == ARGV)
		return MIN((size_t)e->argv_size, (size_t)EVENT_TEXT_MAX - 1) + 1;
	return strnlen(text, EVENT_TEXT_MAX - 1) + 1;
}

void event_init(struct reeve_event *e, enum reeve_category category, enum reeve_kind kind,
		int32_t pid)
{
	memset(e, 0, sizeof(*e));
	e->category = category;
	e->kind = kind;
	e->pid = pid;
	e->uid = e->gid = UINT32_MAX;
	e->timestamp_ms = clock_realtime_ms();
}

size_t event_size(const struct reeve_event *e)
{
	size_t size = sizeof(struct header) + sizeof(*e);

	for (size_t i = 0; i < N_TEXTS; i++)
		size += length_of(e, i);
	return (size + 7) & ~(size_t)7;
}

size_t event_pack(const struct reeve_event *e, void *buffer)
{
	struct header header = { .version = EVENT_VERSION };
	struct reeve_event fixed = *e;
	char *to = (char *)buffer + sizeof(header) + sizeof(fixed);

	for (size_t i = 0; i < N_TEXTS; i++) {
		const char *text = text_in(e, i);
		size_t n = length_of(e, i);

		*text_of(&fixed, i) = NULL;
		header.lengths[i] = (uint32_t)n;
		if (n == 0)
			continue;
		memcpy(to, text, n - 1);
		to[n - 1] = '\0';
		to += n;
		if (i == ARGV ? e->argv_size > n - 1 : text[n - 1] != '\0')
			fixed.fields |= REEVE_HAS_CUT;
	}
	if (header.lengths[ARGV] > 0)
		fixed.argv_size = header.lengths[ARGV] - 1;
	while ((to - (char *)buffer) % 8 != 0)
		*to++ = '\0';
	header.size = (uint32_t)(to - (char *)buffer);
	memcpy(buffer, &header, sizeof(header));
	memcpy((char *)buffer + sizeof(header), &fixed, sizeof(fixed));
	return header.size;
}

/* Whether the texts fill what is behind the fixed members, and each ends with a NUL. */
static bool well_formed(const struct header *h, const char *behind, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < N_TEXTS; i++) {
		if (h->lengths[i] > EVENT_TEXT_MAX || h->lengths[i] > n - at)
			return false;
		at += h->lengths[i];
		if (h->lengths[i] > 0 && behind[at - 1] != '\0')
			return false;
	}
	return n - at < 8;
}

int event_unpack(const void *bytes, size_t size, struct reeve_event **ret)
{
	struct reeve_event *e;
	struct header h;
	char *text;
	size_t behind;

	if (size < sizeof(h) + sizeof(*e) || size > EVENT_SIZE_MAX)
		return -EBADMSG;
	memcpy(&h, bytes, sizeof(h));
	behind = size - sizeof(h) - sizeof(*e);
	text = (char *)bytes + sizeof(h) + sizeof(*e);
	if (h.version != EVENT_VERSION || h.size != size || !well_formed(&h, text, behind))
		return -EBADMSG;
	e = malloc(sizeof(*e) + behind);
	if (!e)
		return -ENOMEM;
	memcpy(e, (const char *)bytes + sizeof(h), sizeof(*e) + behind);
	text = (char *)(e + 1);
	for (size_t i = 0; i < N_TEXTS; i++) {
		*text_of(e, i) = h.lengths[i] > 0 ? text : NULL;
		text += h.lengths[i];
	}
	e->argv_size = h.lengths[ARGV] > 0 ? h.lengths[ARGV] - 1 : 0;
	*ret = e;
	return 0;
}

enum reeve_category event_packed_category(const void *bytes)
{
	enum reeve_category category;

	memcpy(&category,
	       (const char *)bytes + sizeof(struct header) + offsetof(struct reeve_event, category),
	       sizeof(category));
	return category;
}

int event_copy(const struct reeve_event *e, struct reeve_event **ret)
{
	_cleanup_(freep) void *bytes = malloc(event_size(e));

	if (!bytes)
		return -ENOMEM;
	return event_unpack(bytes, event_pack(e, bytes), ret);
}

struct reeve_event *reeve_event_free(struct reeve_event *e)
{
	free(e);
	return NULL;
}
