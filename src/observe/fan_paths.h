/* SPDX-License-Identifier: Apache-2.0 */
/* fan_paths.h - the file systems that fanotify watches, and paths from the handles it gives. */
#pragma once
#include <limits.h>
#include <linux/fanotify.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAN_MOUNTS_MAX 64U

struct fan_mounts {
	struct fan_mount {
		uint64_t id; /* of the file system */
		int fd;      /* of its root */
	} known[FAN_MOUNTS_MAX];
	unsigned n;
};

/* Marks the file systems that are mounted and local: 0 when there is at least one, else a negative
 * errno, -EPERM first. Free with fan_mounts_done(). */
int fan_mounts_mark(struct fan_mounts *m, int group, uint64_t mask);
void fan_mounts_done(struct fan_mounts *m);

/* The path of an information record with a directory and a name, absolute. False when the directory
 * is gone. */
bool fan_path(const struct fan_mounts *m, const struct fanotify_event_info_fid *info,
	      char to[PATH_MAX]);
