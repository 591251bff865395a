/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line a message, one write() a line:
 *
 *	2026-11-20T10:41:00.123Z reeve-keeper[812] warn: message
 *
 * Control characters and bytes that are not UTF-8 are escaped, long messages are cut. A line for
 * which a pipe has no room is dropped and counted; the count is told when there is room again.
 * Without log_set nothing is written. Keeps errno. Threads may log; log_set comes first. */
#pragma once
#include "base/cleanup.h"

enum log_level {
	LEVEL_DEBUG,
	LEVEL_INFO,
	LEVEL_WARN,
	LEVEL_ERROR,
	LEVEL_OFF,
};

/* `fd` (not owned; -1 for nowhere) gets the messages of `level` and above. `program` must live as
 * long as messages are written. */
void log_set(int fd, enum log_level level, const char *program);

/* $REEVE_LOG: debug, info, warn, error or off; `fallback` when it is unset or none of them. */
enum log_level log_level_from_env(enum log_level fallback);

void log_debug(const char *format, ...) _printf_(1, 2);
void log_info(const char *format, ...) _printf_(1, 2);
void log_warn(const char *format, ...) _printf_(1, 2);
void log_error(const char *format, ...) _printf_(1, 2);
