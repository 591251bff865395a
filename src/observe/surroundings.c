/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/surroundings.h"
#include "base/fd.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/linux/proc_ns.h: fixed, and seen by programs. */
#define FIRST_USER_NAMESPACE 0xEFFFFFFDU
#define FIRST_PID_NAMESPACE  0xEFFFFFFCU

static bool is_namespace(const char *path, ino_t number)
{
	struct stat st;

	return stat(path, &st) < 0 || st.st_ino == number;
}

bool is_in_first_user_namespace(void)
{
	return is_namespace("/proc/self/ns/user", FIRST_USER_NAMESPACE);
}

bool is_in_first_pid_namespace(void)
{
	return is_namespace("/proc/self/ns/pid", FIRST_PID_NAMESPACE);
}

bool has_capability(int capability)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return (data[capability / 32].effective & 1U << capability % 32) != 0;
}

int sysctl_number(const char *path, int otherwise)
{
	_cleanup_(freep) char *text = NULL;
	char *end;
	long n;

	if (fd_read_file(path, 64, &text, NULL) < 0)
		return otherwise;
	n = strtol(text, &end, 10);
	return end != text ? (int)n : otherwise;
}
