/* SPDX-License-Identifier: Apache-2.0 */
/* exitinfo.h - how a process ended, packed into the word control_exit.status: si_code in the upper
 * half, si_status in the lower, as waitid(2) gives them. 0 means that it is not known. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define EXIT_WORD_UNKNOWN 0ULL

struct exitinfo {
	bool known;
	int code;   /* 0..255, or -N after death by signal N */
	int signal; /* N, 0 for none */
	bool core;  /* a core was dumped */
};

/* The word of si_code and si_status; unknown for what is not an end (CLD_STOPPED and the like). */
uint64_t exitinfo_pack(int code, int status);

/* The word of a wait status, as wait(2) and the kernel's own fields have it. */
uint64_t exitinfo_pack_status(int wait_status);

struct exitinfo exitinfo_unpack(uint64_t word);

/* What a shell would give as `$?`: the code, or 128 + N. 255 when it is not known. */
int exitinfo_shell_code(const struct exitinfo *x);

/* From the zombie of any process: /proc/PID/stat, field 52. -ENODATA while it lives, and when it
 * belongs to somebody else: the kernel then shows 0 (ptrace(2), PTRACE_MODE_READ_FSCREDS). -ESRCH
 * when it was reaped. */
int exitinfo_from_zombie(pid_t pid, uint64_t *ret);

/* From a pidfd that was opened while the process lived, after somebody reaped it: Linux 6.15.
 * -ENODATA when the kernel does not tell, or not yet. */
int exitinfo_from_pidfd(int pidfd, uint64_t *ret);
