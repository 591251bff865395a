/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/pidset.h"
#include "base/cleanup.h"
#include <errno.h>

#define CAPACITY_MIN 64U

static size_t home(const struct pidset *s, pid_t pid)
{
	return ((uint32_t)pid * 2654435761U) & (s->capacity - 1);
}

/* Where it is, or the free place where it would be. */
static size_t find(const struct pidset *s, pid_t pid)
{
	size_t i = home(s, pid);

	while (s->places[i].pid != 0 && s->places[i].pid != pid)
		i = (i + 1) & (s->capacity - 1);
	return i;
}

void pidset_done(struct pidset *s)
{
	free(s->places);
	*s = (struct pidset){ 0 };
}

struct pid_place *pidset_at(const struct pidset *s, pid_t pid)
{
	struct pid_place *p = s->n > 0 && pid != 0 ? &s->places[find(s, pid)] : NULL;

	return p && p->pid == pid ? p : NULL;
}

bool pidset_has(const struct pidset *s, pid_t pid)
{
	return pidset_at(s, pid) != NULL;
}

static int grow(struct pidset *s)
{
	struct pidset more = { .capacity = MAX(s->capacity * 2, (size_t)CAPACITY_MIN), .n = s->n };

	more.places = calloc(more.capacity, sizeof(*more.places));
	if (!more.places)
		return -ENOMEM;
	for (size_t i = 0; i < s->capacity; i++) {
		if (s->places[i].pid != 0)
			more.places[find(&more, s->places[i].pid)] = s->places[i];
	}
	free(s->places);
	*s = more;
	return 0;
}

int pidset_add(struct pidset *s, pid_t pid)
{
	size_t i;

	if (pid <= 0)
		return -EINVAL;
	if (s->n >= PIDSET_MAX)
		return -ENOSPC;
	if ((s->n + 1) * 2 > s->capacity) {
		int r = grow(s);

		if (r < 0)
			return r;
	}
	i = find(s, pid);
	if (s->places[i].pid == 0) {
		s->places[i] = (struct pid_place){ .pid = pid };
		s->n++;
	}
	return 0;
}

bool pidset_remove(struct pidset *s, pid_t pid)
{
	size_t mask = s->capacity - 1, hole, i;

	if (!pidset_has(s, pid))
		return false;
	hole = find(s, pid);
	s->n--;
	/* Whoever stands behind and could not have its home moves up. */
	for (i = (hole + 1) & mask; s->places[i].pid != 0; i = (i + 1) & mask) {
		size_t wants = home(s, s->places[i].pid);

		if (((i - wants) & mask) < ((i - hole) & mask))
			continue;
		s->places[hole] = s->places[i];
		hole = i;
	}
	s->places[hole].pid = 0;
	return true;
}
