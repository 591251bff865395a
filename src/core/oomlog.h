/* SPDX-License-Identifier: Apache-2.0 */
/* oomlog.h - what the kernel's log says of processes that its OOM killer has ended.
 *
 * Each is named by a line of level error, `[SECONDS] REASON: Killed process PID (NAME) ...`
 * (__oom_kill_process() in mm/oom_kill.c), with the pid of the first pid namespace. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In `n` bytes of log as syslog(2) gives them: whether `pid` was ended so at `at_s`, counted as the
 * lines count, give or take `tolerance_s`. Lines without a time, or that a program has written into
 * the log, prove nothing. */
bool oomlog_names(const char *text, size_t n, pid_t pid, uint64_t at_s, uint64_t tolerance_s);

/* Asks the kernel whether it ended this process, which died at the realtime `at_ms`, for want of
 * memory. False also when it does not say so to this caller (kernel.dmesg_restrict), or when its
 * numbers are not ours. */
bool oomlog_ended(pid_t pid, uint64_t at_ms);
