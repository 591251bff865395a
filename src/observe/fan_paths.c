/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/fan_paths.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/statfs.h>

#define MOUNTS     "/proc/self/mountinfo"
#define MOUNTS_MAX (1U << 20)
#define HANDLE_MAX 128U

/* Not of files that a command works on, or nothing that answers for sure when it is asked. */
static const char *const passed_over[] = {
	"proc", "sysfs",   "cgroup",      "cgroup2",  "devpts",    "mqueue", "securityfs",
	"bpf",  "debugfs", "tracefs",     "pstore",   "configfs",  "autofs", "hugetlbfs",
	"nfs",  "nfs4",    "cifs",        "smb3",     "9p",        "ceph",   "afs",
	"fuse", "fuseblk", "binfmt_misc", "efivarfs", "selinuxfs", "nsfs",
};

static bool is_passed_over(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(passed_over); i++) {
		if (strcmp(type, passed_over[i]) == 0)
			return true;
	}
	return strncmp(type, "fuse.", 5) == 0;
}

/* Octal escapes, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++, to++) {
		if (text[0] == '\\' && text[1] != '\0' && text[2] != '\0' && text[3] != '\0') {
			*to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		} else {
			*to = *text;
		}
	}
	*to = '\0';
}

static uint64_t id_of(const void *fsid)
{
	uint64_t id;

	memcpy(&id, fsid, sizeof(id));
	return id;
}

static const struct fan_mount *find(const struct fan_mounts *m, uint64_t id)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (m->known[i].id == id)
			return &m->known[i];
	}
	return NULL;
}

static int mark(struct fan_mounts *m, int group, uint64_t mask, const char *path)
{
	struct statfs st;
	int fd;

	if (m->n == FAN_MOUNTS_MAX)
		return -ENOSPC;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &st) < 0 || find(m, id_of(&st.f_fsid))) {
		fd_close(fd);
		return -EEXIST;
	}
	if (fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, fd, NULL) < 0) {
		int r = -errno;

		fd_close(fd);
		return r;
	}
	m->known[m->n++] = (struct fan_mount){ id_of(&st.f_fsid), fd };
	return 0;
}

int fan_mounts_mark(struct fan_mounts *m, int group, uint64_t mask)
{
	_cleanup_(freep) char *text = NULL;
	char *line, *next;
	int first = -ENODEV, r;

	m->n = 0;
	r = fd_read_file(MOUNTS, MOUNTS_MAX, &text, NULL);
	if (r < 0)
		return r;
	for (line = text; *line != '\0'; line = next) {
		char *path = line, *type;

		next = line + strcspn(line, "\n");
		if (*next != '\0')
			*next++ = '\0';
		for (int i = 0; i < 4 && path; i++) { /* the fifth field */
			path = strchr(path, ' ');
			path = path ? path + 1 : NULL;
		}
		type = path ? strstr(path, " - ") : NULL;
		if (!type)
			continue;
		type += 3;
		type[strcspn(type, " ")] = '\0';
		path[strcspn(path, " ")] = '\0';
		unescape(path);
		if (is_passed_over(type))
			continue;
		r = mark(m, group, mask, path);
		if (r == -EPERM)
			first = r;
	}
	return m->n > 0 ? 0 : first;
}

void fan_mounts_done(struct fan_mounts *m)
{
	for (unsigned i = 0; i < m->n; i++)
		fd_close(m->known[i].fd);
	m->n = 0;
}

bool fan_path(const struct fan_mounts *m, const struct fanotify_event_info_fid *info,
	      char to[PATH_MAX])
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + HANDLE_MAX];
	} h;
	const struct fan_mount *mount = find(m, id_of(&info->fsid));
	const char *from = (const char *)info->handle, *name;
	size_t left = info->hdr.len - sizeof(*info), whole;
	char link[48];
	ssize_t n;
	int fd;

	if (!mount || left < sizeof(h.handle))
		return false;
	memcpy(&h.handle, from, sizeof(h.handle));
	whole = sizeof(h.handle) + h.handle.handle_bytes;
	if (h.handle.handle_bytes > HANDLE_MAX || whole >= left)
		return false;
	memcpy(&h, from, whole);
	name = from + whole;
	fd = open_by_handle_at(mount->fd, &h.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, to, PATH_MAX - 1);
	fd_close(fd);
	if (n <= 0 || !memchr(name, 0, left - whole))
		return false;
	if (strcmp(name, ".") != 0) {
		size_t at = n > 1 ? (size_t)n : 0;

		if (at + 1 + strlen(name) >= PATH_MAX)
			return false;
		to[at] = '/';
		strcpy(to + at + 1, name);
	} else {
		to[n] = '\0';
	}
	return true;
}
