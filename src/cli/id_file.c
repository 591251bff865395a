/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/id_file.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ID_MAX 128U

static int failed(const struct id_file *f, struct error *e, const char *step)
{
	return error_set_errno(e, ERROR_INVALID_ARGUMENT, errno, "%s %s", step, f->path);
}

void id_file_done(struct id_file *f)
{
	if (f->temporary)
		unlink(f->temporary);
	free(f->temporary);
	free(f->path);
	fd_close(f->fd);
	*f = (struct id_file)ID_FILE_INIT;
}

/* A new file beside it, with the mode that open(2) would have given. */
static int open_temporary(struct id_file *f)
{
	mode_t mask = umask(0);

	umask(mask);
	if (asprintf(&f->temporary, "%s.XXXXXX", f->path) < 0) {
		f->temporary = NULL;
		errno = ENOMEM;
		return -1;
	}
	f->fd = mkostemp(f->temporary, O_CLOEXEC);
	if (f->fd < 0) {
		free(f->temporary);
		f->temporary = NULL;
	}
	return f->fd < 0 ? -1 : fchmod(f->fd, 0666 & ~mask);
}

int id_file_open(struct id_file *f, const char *path, struct error *e)
{
	_cleanup_(id_file_done) struct id_file new = ID_FILE_INIT;
	struct stat st;

	new.path = strdup(path);
	if (!new.path)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "%s", path);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		new.fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	else if (open_temporary(&new) < 0)
		return failed(&new, e, "create");
	if (new.fd < 0)
		return failed(&new, e, "open");
	*f = new;
	new = (struct id_file)ID_FILE_INIT;
	return 0;
}

int id_file_write(struct id_file *f, const char *id, struct error *e)
{
	char line[ID_MAX];
	int n = snprintf(line, sizeof(line), "%s\n", id);
	int r = fd_write_all(f->fd, line, MIN((size_t)n, sizeof(line) - 1));

	if (r < 0) {
		errno = -r;
		return failed(f, e, "write");
	}
	if (f->temporary && rename(f->temporary, f->path) < 0)
		return failed(f, e, "rename to");
	free(f->temporary);
	f->temporary = NULL;
	id_file_done(f);
	return 0;
}

/* --- @last ----------------------------------------------------------------------------------- */

static void last_path(const char *dir, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/last", dir);
}

/* A note of our own: neither the caller's umask nor its limit of file size is meant for it. */
void last_store(const char *dir, const char *id)
{
	_cleanup_(id_file_done) struct id_file f = ID_FILE_INIT;
	void (*too_large)(int) = signal(SIGXFSZ, SIG_IGN);
	mode_t mask = umask(077);
	char path[PATH_MAX];

	last_path(dir, path);
	if (id_file_open(&f, path, NULL) < 0 || id_file_write(&f, id, NULL) < 0)
		unlink(path);
	umask(mask);
	signal(SIGXFSZ, too_large);
}

int last_load(const char *dir, char **ret)
{
	char path[PATH_MAX], *text;
	int r;

	last_path(dir, path);
	r = fd_read_file(path, ID_MAX, &text, NULL);
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	if (*text == '\0') {
		free(text);
		return -ENOENT;
	}
	*ret = text;
	return 0;
}
