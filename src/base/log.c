/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/clock.h"
#include "base/text.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A pipe that poll(2) calls writable takes this much without blocking (PIPE_BUF, pipe(7)). */
#define LINE_MAX_BYTES    4096U
#define MESSAGE_MAX_BYTES 2048U

static const char *const level_names[] = {
	[LEVEL_DEBUG] = "debug", [LEVEL_INFO] = "info", [LEVEL_WARN] = "warn",
	[LEVEL_ERROR] = "error", [LEVEL_OFF] = "off",
};

static struct {
	int fd;
	enum log_level level;
	const char *program;
	atomic_uint dropped; /* lines, since the last one that was written */
} sink = { .fd = -1, .level = LEVEL_OFF, .program = "reeve" };

void log_set(int fd, enum log_level level, const char *program)
{
	sink.fd = fd;
	sink.level = level;
	sink.program = program;
}

enum log_level log_level_from_env(enum log_level fallback)
{
	const char *wanted = getenv("REEVE_LOG");

	for (size_t i = 0; wanted && i < ARRAY_SIZE(level_names); i++)
		if (!strcmp(level_names[i], wanted))
			return (enum log_level)i;
	return fallback;
}

/* One line, cut to what fits. */
static void write_line(enum log_level level, const char *message)
{
	struct pollfd room = { .fd = sink.fd, .events = POLLOUT };
	_cleanup_(buffer_done) struct buffer b;
	char now[CLOCK_TEXT_MAX];
	unsigned dropped;
	ssize_t written;

	buffer_init(&b, LINE_MAX_BYTES - 1);
	dropped = atomic_exchange(&sink.dropped, 0);
	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) {
		atomic_fetch_add(&sink.dropped, dropped + 1);
		return;
	}
	if (buffer_printf(&b, "%s %s[%d] %s: ", clock_format(clock_realtime_ms(), now),
			  sink.program, (int)getpid(), level_names[level]) < 0)
		return;
	if (dropped > 0 && buffer_printf(&b, "(%u lines lost before) ", dropped) < 0)
		return;
	text_escape(&b, message, strlen(message));
	/* `max` leaves out one byte: this is where it goes. */
	b.max++;
	if (buffer_append(&b, "\n", 1) < 0)
		return;
	do
		written = write(sink.fd, b.data, b.size);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		atomic_fetch_add(&sink.dropped, dropped + 1);
}

static void log_message(enum log_level level, const char *format, va_list ap) _printf_(2, 0);

static void log_message(enum log_level level, const char *format, va_list ap)
{
	char message[MESSAGE_MAX_BYTES];
	int saved = errno;

	if (sink.fd < 0 || level < sink.level)
		return;
	if (vsnprintf(message, sizeof(message), format, ap) >= 0)
		write_line(level, message);
	errno = saved;
}

#define DEFINE_LOG(name, level)                                                                    \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, format);                                                              \
		log_message(level, format, ap);                                                    \
		va_end(ap);                                                                        \
	}

DEFINE_LOG(log_debug, LEVEL_DEBUG)
DEFINE_LOG(log_info, LEVEL_INFO)
DEFINE_LOG(log_warn, LEVEL_WARN)
DEFINE_LOG(log_error, LEVEL_ERROR)
