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

#define ID_MAX     128U
#define LAST_MAX   (2 * ID_MAX)
#define LAST_LOOKS 1000U

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

/* Twice, so that who reads meanwhile sees when it is half of one id and half of another. */
static size_t last_format(char line[LAST_MAX], const char *id)
{
	int n = snprintf(line, LAST_MAX, "%s\n%s\n", id, id);

	return MIN((size_t)n, (size_t)LAST_MAX - 1);
}

/* Most of the time it is there, and 62 bytes are written over those that are: to put a new file in
 * its place has ext4 write that out at once, and wait for what it discards of the old one. */
static int last_overwrite(const char *path, const char *id)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	char line[LAST_MAX];

	return fd < 0 ? -errno : fd_write_all(fd, line, last_format(line, id));
}

static int last_create(const char *path, const char *id)
{
	_cleanup_(id_file_done) struct id_file f = ID_FILE_INIT;
	mode_t mask = umask(077);
	int r = id_file_open(&f, path, NULL);

	if (r == 0)
		r = id_file_write(&f, id, NULL);
	umask(mask);
	return r;
}

/* A note of our own: neither the caller's umask nor its limit of file size is meant for it. */
void last_store(const char *dir, const char *id)
{
	void (*too_large)(int) = signal(SIGXFSZ, SIG_IGN);
	char path[PATH_MAX];
	int r;

	last_path(dir, path);
	r = last_overwrite(path, id);
	if (r == -ENOENT)
		r = last_create(path, id);
	if (r < 0)
		unlink(path);
	signal(SIGXFSZ, too_large);
}

/* -EAGAIN: it was read while it was being written. */
static int last_read(const char *path, char **ret)
{
	_cleanup_(freep) char *text = NULL;
	char *rest, *first, *second;
	int r = fd_read_file(path, LAST_MAX, &text, NULL);

	if (r < 0)
		return r;
	rest = text;
	first = strsep(&rest, "\n");
	second = strsep(&rest, "\n");
	if (*first == '\0')
		return -ENOENT;
	/* one that was made, not written over, has one line */
	if (second && *second != '\0' && strcmp(first, second) != 0)
		return -EAGAIN;
	*ret = strdup(first);
	return *ret ? 0 : -ENOMEM;
}

int last_load(const char *dir, char **ret)
{
	char path[PATH_MAX];
	int r = -EAGAIN;

	last_path(dir, path);
	for (unsigned i = 0; i < LAST_LOOKS && r == -EAGAIN; i++)
		r = last_read(path, ret);
	return r;
}
