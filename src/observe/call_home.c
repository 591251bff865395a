/* SPDX-License-Identifier: Apache-2.0 */
/* That nobody was let go elsewhere does not tell that the directory still has its name: anybody may
 * have renamed it, or one above it. So the name is followed each time, and must lead to the same
 * directory, by what a file handle says of that: it stands for one directory of one mount. Unlike
 * stat(2), neither asks a server, which may not answer. A descriptor that was kept would hold up
 * whoever wants to unmount the file system. */
#include "observe/call_home.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "observe/call_decode.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200 /* Linux 6.5: need not be such as can be opened */
#endif

_Static_assert(HOME_HANDLE_MAX == MAX_HANDLE_SZ, "the size of a handle");

size_t call_link(const struct call *c, const char *name, char *to, size_t max)
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/%d/%s", c->tid, name);
	call_by_number(c);
	n = readlink(link, to, max - 1);
	if (n <= 0)
		return 0;
	to[n] = '\0';
	return (size_t)n;
}

static bool identify(int at, const char *path, int flags, struct home_directory *ret)
{
	_Alignas(struct file_handle) uint8_t bytes[sizeof(struct file_handle) + HOME_HANDLE_MAX];
	struct file_handle *handle = (struct file_handle *)bytes;

	handle->handle_bytes = HOME_HANDLE_MAX;
	if (name_to_handle_at(at, path, handle, &ret->mount, flags | AT_HANDLE_FID) < 0)
		return false;
	ret->type = handle->handle_type;
	ret->size = handle->handle_bytes;
	memcpy(ret->handle, handle->f_handle, ret->size);
	return true;
}

/* Whether h->path leads there. False, too, when that cannot be said at once. */
static bool leads_to(const struct call_home *h, const struct home_directory *d)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_CACHED };
	struct home_directory now;
	_cleanup_(closep) int fd = -1;

	fd = (int)syscall(SYS_openat2, AT_FDCWD, h->path, &how, sizeof(how));
	return fd >= 0 && identify(fd, "", AT_EMPTY_PATH, &now) && now.mount == d->mount &&
	       now.type == d->type && now.size == d->size &&
	       memcmp(now.handle, d->handle, d->size) == 0;
}

/* `path` is what /proc says. It may not lead there for us, as from another mount namespace. */
static void learn(struct call_home *h, const struct call *c, const char *path, size_t n)
{
	char link[64];

	h->left = n == 0 || n >= sizeof(h->path) || path[0] != '/';
	if (h->left)
		return;
	h->n = n;
	memcpy(h->path, path, n + 1);
	(void)snprintf(link, sizeof(link), "/proc/%d/cwd", c->tid);
	h->left = !identify(AT_FDCWD, link, AT_SYMLINK_FOLLOW, &h->directory) ||
		  !leads_to(h, &h->directory);
}

/* Where an execve is held up, so is what moves (calls_filter()). */
size_t call_cwd(const struct call *c, char *to, size_t max)
{
	struct call_home *h = c->home && !c->home->left ? c->home : NULL;
	size_t n;

	if (h && h->n > 0 && h->n < max && leads_to(h, &h->directory)) {
		memcpy(to, h->path, h->n + 1);
		return h->n;
	}
	n = call_link(c, "cwd", to, max);
	if (h && call_executes(c))
		learn(h, c, to, n);
	return n;
}
