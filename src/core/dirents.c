/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dirents.h"
#include "base/cleanup.h"
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define AHEAD_MIN 512U
#define AHEAD_MAX 4096U

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int dirents_each(int fd, size_t ahead, dirents_fn fn, void *userdata)
{
	_Alignas(struct dirent64) char entries[AHEAD_MAX];
	ssize_t n, at;

	ahead = MIN(ahead, (size_t)AHEAD_MAX);
	ahead = MAX(ahead, (size_t)AHEAD_MIN);
	for (;;) {
		n = getdents64(fd, entries, ahead);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(entries + at);
			int r = is_dots(d->d_name) ? 0 : fn(d->d_name, d->d_type, userdata);

			if (r != 0)
				return r;
			at += d->d_reclen;
		}
	}
}
