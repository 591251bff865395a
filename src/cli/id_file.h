/* SPDX-License-Identifier: Apache-2.0 */
/* id_file.h - the id of a session in a file: of --id-file, and the one behind @last.
 *
 * A regular file is replaced as a whole, with a rename; a pipe or device is written to. @last is
 * written over: many a shell loop waits for it. */
#pragma once
#include "base/error.h"

struct id_file {
	char *path, *temporary; /* `temporary` is NULL when it is written to directly */
	int fd;
};

#define ID_FILE_INIT                                                                               \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Opens, so that what is wrong with it is known before there is an id. */
int id_file_open(struct id_file *f, const char *path, struct error *e);

/* Writes `id` and a newline; the file is then done with. */
int id_file_write(struct id_file *f, const char *id, struct error *e);

/* Gives up what was not written. For _cleanup_. */
void id_file_done(struct id_file *f);

/* Notes `id` as the newest session of this directory's clients. Where it cannot be noted there is
 * none, rather than an older one. */
void last_store(const char *dir, const char *id);

/* Reads it; -ENOENT when there is none. `*ret` is the caller's. */
int last_load(const char *dir, char **ret);
