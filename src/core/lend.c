/* SPDX-License-Identifier: Apache-2.0 */
#include "core/lend.h"
#include "base/fd.h"
#include "core/entry.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int lend_memory(pid_t tid)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int lend_descriptor(pid_t pid, int number)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd;

	if (pidfd < 0)
		return -errno;
	fd = entry_fetch(pidfd, number);
	fd_close(pidfd);
	return fd;
}
