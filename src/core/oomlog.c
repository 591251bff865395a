/* SPDX-License-Identifier: Apache-2.0 */
#include "core/oomlog.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#define READ_ALL    3     /* SYSLOG_ACTION_READ_ALL, syslog(2) */
#define TAIL_MAX    65536 /* bytes of the log; a report of the OOM killer is a few KiB */
#define VMSTAT_MAX  65536U
#define TOLERANCE_S 60U                /* the log's clock is not corrected as others are */
#define FACILITY    8U                 /* the kernel's own lines have lower numbers, syslog(3) */
#define FIRST_PIDS  "pid:[4026531836]" /* PROC_PID_INIT_INO, include/linux/proc_ns.h */

static bool line_names(const char *line, pid_t pid, uint64_t at_s, uint64_t tolerance_s)
{
	unsigned long long when;
	unsigned level;
	char what[64];

	if (sscanf(line, "<%u>[ %llu.", &level, &when) != 2 || level >= FACILITY)
		return false;
	snprintf(what, sizeof(what), ": Killed process %d (", (int)pid);
	return strstr(line, what) && when <= at_s + tolerance_s && when + tolerance_s >= at_s;
}

bool oomlog_names(const char *text, size_t n, pid_t pid, uint64_t at_s, uint64_t tolerance_s)
{
	const char *end = text + n;
	char line[512];

	while (text < end) {
		const char *next = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((next ? next : end) - text);

		snprintf(line, sizeof(line), "%.*s", (int)MIN(length, sizeof(line)), text);
		if (line_names(line, pid, at_s, tolerance_s))
			return true;
		text += length + 1;
	}
	return false;
}

/* Since the machine was started, and for whatever reason. */
static bool any_was_ended(void)
{
	_cleanup_(freep) char *text = NULL;
	const char *line;

	if (fd_read_file("/proc/vmstat", VMSTAT_MAX, &text, NULL) < 0)
		return true;
	line = strstr(text, "\noom_kill ");
	return !line || strtoull(line + strlen("\noom_kill "), NULL, 10) > 0;
}

static bool counts_as_the_kernel(void)
{
	char name[64];
	ssize_t n = readlink("/proc/self/ns/pid", name, sizeof(name) - 1);

	return n == (ssize_t)strlen(FIRST_PIDS) && memcmp(name, FIRST_PIDS, (size_t)n) == 0;
}

bool oomlog_ended(pid_t pid, uint64_t at_ms)
{
	_cleanup_(freep) char *text = NULL;
	uint64_t now = clock_realtime_ms(), ago = now > at_ms ? now - at_ms : 0;
	uint64_t uptime = clock_monotonic_ms(), at = uptime > ago ? uptime - ago : 0;
	int n;

	if (!any_was_ended() || !counts_as_the_kernel())
		return false;
	text = malloc(TAIL_MAX);
	n = text ? klogctl(READ_ALL, text, TAIL_MAX) : -1;
	return n > 0 && oomlog_names(text, (size_t)n, pid, at / 1000, TOLERANCE_S);
}
