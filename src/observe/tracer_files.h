/* SPDX-License-Identifier: Apache-2.0 */
/* tracer_files.h - what a tracer knows of descriptors and of the open files behind them: as the
 * kernel has them, a table of descriptors may serve several threads, an open file may have several
 * descriptors in several tables, and ends with the last of them. */
#pragma once
#include "reeve/observer.h"
#include <stdbool.h>

#define OPEN_FILES_MAX  65536U
#define DESCRIPTORS_MAX 65536U /* in one table: higher ones are not followed */

struct open_file {
	struct open_file *next, *prev;
	unsigned refs;
	struct reeve_event *event; /* tells of its end, with totals; NULL: not of interest */
	uint64_t told;             /* reads and writes when it was last told of */
};

/* Of all tables. `ended` is called before an open file is forgotten. */
struct open_files {
	struct open_file *first;
	unsigned n;
	void (*ended)(void *userdata, struct open_file *file);
	void *userdata;
};

struct descriptors {
	unsigned refs, n;
	struct open_file **files;
};

/* Empty, with one reference. NULL without memory. */
struct descriptors *descriptors_new(void);
struct descriptors *descriptors_ref(struct descriptors *d);

/* What fork(2) makes. NULL without memory. */
struct descriptors *descriptors_copy(const struct descriptors *d);

/* Ends what nobody else has. NULL is allowed. Returns NULL. */
struct descriptors *descriptors_unref(struct open_files *all, struct descriptors *d);

/* NULL when nothing is known of this descriptor. */
struct open_file *descriptors_get(const struct descriptors *d, int64_t fd);

/* The descriptor is one of `file` from now on, and not any more of what it was before. False when
 * there is no room. */
bool descriptors_set(struct open_files *all, struct descriptors *d, int64_t fd,
		     struct open_file *file);

/* It is closed. */
void descriptors_drop(struct open_files *all, struct descriptors *d, int64_t fd);

/* A new open file with this descriptor. `event` is copied; NULL: of no interest. False when there
 * is no room. */
bool descriptors_open(struct open_files *all, struct descriptors *d, int64_t fd,
		      const struct reeve_event *event);
