/* SPDX-License-Identifier: Apache-2.0 */
#include "core/exitinfo.h"
#include "core/pidfd_info.h"
#include "core/proc.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL_SIGNAL_BASE 128
#define SHELL_UNKNOWN     255

uint64_t exitinfo_pack(int code, int status)
{
	if (code != CLD_EXITED && code != CLD_KILLED && code != CLD_DUMPED)
		return EXIT_WORD_UNKNOWN;
	return (uint64_t)code << 32 | (uint32_t)status;
}

uint64_t exitinfo_pack_status(int wait_status)
{
	if (WIFEXITED(wait_status))
		return exitinfo_pack(CLD_EXITED, WEXITSTATUS(wait_status));
	if (WIFSIGNALED(wait_status))
		return exitinfo_pack(WCOREDUMP(wait_status) ? CLD_DUMPED : CLD_KILLED,
				     WTERMSIG(wait_status));
	return EXIT_WORD_UNKNOWN;
}

struct exitinfo exitinfo_unpack(uint64_t word)
{
	int code = (int)(word >> 32), status = (int)(uint32_t)word;

	if (code == CLD_EXITED)
		return (struct exitinfo){ .known = true, .code = status & 0xff };
	if (code == CLD_KILLED || code == CLD_DUMPED)
		return (struct exitinfo){
			.known = true, .code = -status, .signal = status, .core = code == CLD_DUMPED
		};
	return (struct exitinfo){ 0 };
}

int exitinfo_shell_code(const struct exitinfo *x)
{
	if (!x->known)
		return SHELL_UNKNOWN;
	return x->signal > 0 ? SHELL_SIGNAL_BASE + x->signal : x->code;
}

/* A link of /proc/PID/ns asks for the same permission as field 52, and tells when it is missing. */
static bool status_is_shown(pid_t pid)
{
	char path[64], target[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	return readlink(path, target, sizeof(target)) >= 0 || errno != EACCES;
}

int exitinfo_from_zombie(pid_t pid, uint64_t *ret)
{
	struct proc_stat s;
	int r;

	r = proc_stat_read(pid, &s);
	if (r < 0)
		return r;
	if (!proc_stat_dead(&s) || (s.status == 0 && !status_is_shown(pid)))
		return -ENODATA;
	*ret = exitinfo_pack_status(s.status);
	return 0;
}

int exitinfo_from_pidfd(int pidfd, uint64_t *ret)
{
	struct pidfd_info_v0 info = { .mask = PIDFD_INFO_EXIT_GIVEN };

	if (ioctl(pidfd, PIDFD_GET_INFO_V0, &info) < 0)
		return errno == EBADF ? -EBADF : -ENODATA;
	if (!(info.mask & PIDFD_INFO_EXIT_GIVEN))
		return -ENODATA;
	*ret = exitinfo_pack_status(info.exit_code);
	return 0;
}
