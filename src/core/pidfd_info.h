/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd_info.h - PIDFD_GET_INFO of Linux 6.13, which the C library's headers do not have yet. The
 * fields of its first version, include/uapi/linux/pidfd.h; later ones come behind. */
#pragma once
#include <linux/ioctl.h>
#include <stdint.h>

struct pidfd_info_v0 {
	uint64_t mask; /* in: what is wanted; out: what is given */
	uint64_t cgroupid;
	uint32_t pid, tgid, ppid;
	uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code; /* wait status, with PIDFD_INFO_EXIT_GIVEN */
};

_Static_assert(sizeof(struct pidfd_info_v0) == 64, "PIDFD_INFO_SIZE_VER0");

#define PIDFD_GET_INFO_V0     _IOWR(0xFF, 11, struct pidfd_info_v0)
#define PIDFD_INFO_EXIT_GIVEN (1ULL << 3) /* PIDFD_INFO_EXIT, Linux 6.15: once it was reaped */
