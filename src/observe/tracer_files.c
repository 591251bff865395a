/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/tracer_files.h"
#include "base/cleanup.h"
#include "observe/event.h"
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 64U

static void put_file(struct open_files *all, struct open_file *file)
{
	if (--file->refs > 0)
		return;
	all->ended(all->userdata, file);
	if (file->prev)
		file->prev->next = file->next;
	else
		all->first = file->next;
	if (file->next)
		file->next->prev = file->prev;
	all->n--;
	reeve_event_free(file->event);
	free(file);
}

struct descriptors *descriptors_new(void)
{
	struct descriptors *d = calloc(1, sizeof(*d));

	if (d)
		d->refs = 1;
	return d;
}

struct descriptors *descriptors_ref(struct descriptors *d)
{
	d->refs++;
	return d;
}

/* Room for descriptor `fd`. */
static bool grow(struct descriptors *d, unsigned fd)
{
	unsigned n = MAX(d->n, ROOM_MIN);
	struct open_file **files;

	if (fd < d->n)
		return true;
	while (n <= fd)
		n *= 2;
	files = realloc(d->files, n * sizeof(struct open_file *));
	if (!files)
		return false;
	memset(files + d->n, 0, (n - d->n) * sizeof(struct open_file *));
	d->files = files;
	d->n = n;
	return true;
}

struct descriptors *descriptors_copy(const struct descriptors *d)
{
	struct descriptors *copy = descriptors_new();

	if (!copy || d->n == 0)
		return copy;
	if (!grow(copy, d->n - 1)) {
		free(copy);
		return NULL;
	}
	for (unsigned i = 0; i < d->n; i++) {
		copy->files[i] = d->files[i];
		if (copy->files[i])
			copy->files[i]->refs++;
	}
	return copy;
}

struct descriptors *descriptors_unref(struct open_files *all, struct descriptors *d)
{
	if (!d || --d->refs > 0)
		return NULL;
	for (unsigned i = 0; i < d->n; i++) {
		if (d->files[i])
			put_file(all, d->files[i]);
	}
	free(d->files);
	free(d);
	return NULL;
}

struct open_file *descriptors_get(const struct descriptors *d, int64_t fd)
{
	return d && fd >= 0 && fd < (int64_t)d->n ? d->files[fd] : NULL;
}

void descriptors_drop(struct open_files *all, struct descriptors *d, int64_t fd)
{
	struct open_file *file = descriptors_get(d, fd);

	if (!file)
		return;
	d->files[fd] = NULL;
	put_file(all, file);
}

bool descriptors_set(struct open_files *all, struct descriptors *d, int64_t fd,
		     struct open_file *file)
{
	if (!d || fd < 0 || fd >= (int64_t)DESCRIPTORS_MAX || !grow(d, (unsigned)fd))
		return false;
	file->refs++;
	descriptors_drop(all, d, fd);
	d->files[fd] = file;
	return true;
}

bool descriptors_open(struct open_files *all, struct descriptors *d, int64_t fd,
		      const struct reeve_event *event)
{
	struct open_file *file;

	if (all->n >= OPEN_FILES_MAX)
		return false;
	file = calloc(1, sizeof(*file));
	if (!file)
		return false;
	if ((event && event_copy(event, &file->event) < 0) || !descriptors_set(all, d, fd, file)) {
		reeve_event_free(file->event);
		free(file);
		return false;
	}
	file->next = all->first;
	if (file->next)
		file->next->prev = file;
	all->first = file;
	all->n++;
	return true;
}
