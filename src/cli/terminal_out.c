/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal_out.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#define SIZE_MIN (64U * 1024U)

void terminal_out_open(struct terminal_out *o, struct terminal_modes *modes)
{
	*o = (struct terminal_out){ .modes = modes };
	/* stdout is shared with other processes: a description of our own may be non-blocking */
	o->fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	o->own = o->fd >= 0;
	if (!o->own)
		o->fd = STDOUT_FILENO;
}

void terminal_out_close(struct terminal_out *o)
{
	if (o->own)
		close(o->fd);
	free(o->waiting);
	*o = (struct terminal_out){ .fd = -1 };
}

static ssize_t write_some(const struct terminal_out *o, const uint8_t *bytes, size_t n)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	if (!o->own) { /* another user's terminal cannot be opened again */
		if (poll(&p, 1, 0) <= 0) {
			errno = EAGAIN;
			return -1;
		}
		n = MIN(n, (size_t)PIPE_BUF);
	}
	return write(o->fd, bytes, n);
}

static void look_at_lag(struct terminal_out *o)
{
	if (o->written < o->mark)
		return;
	o->mark = o->added;
	o->mark_at = clock_monotonic_ms();
}

void terminal_out_flush(struct terminal_out *o)
{
	while (terminal_out_waiting(o) > 0 && o->error == 0 && !o->held) {
		ssize_t n = write_some(o, o->waiting + o->start, terminal_out_waiting(o));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			o->error = errno;
			break;
		}
		terminal_modes_feed(o->modes, o->waiting + o->start, (size_t)n);
		o->start += (size_t)n;
		o->written += (uint64_t)n;
	}
	if (o->error != 0)
		o->start = o->end;
	if (o->start == o->end)
		o->start = o->end = 0;
	look_at_lag(o);
}

static int make_room(struct terminal_out *o, size_t n)
{
	size_t held = terminal_out_waiting(o);

	if (o->end + n <= o->size)
		return 0;
	if (held > 0)
		memmove(o->waiting, o->waiting + o->start, held);
	o->start = 0;
	o->end = held;
	if (held + n > o->size) {
		size_t doubled = MAX(2 * o->size, (size_t)SIZE_MIN);
		size_t size = MAX(held + n, doubled);
		uint8_t *larger = realloc(o->waiting, size);

		if (!larger)
			return -ENOMEM;
		o->waiting = larger;
		o->size = size;
	}
	return 0;
}

int terminal_out_add(struct terminal_out *o, const uint8_t *bytes, size_t n)
{
	bool full = terminal_out_waiting(o) > 0;

	if (n == 0 || o->error != 0)
		return 0;
	if (make_room(o, n) < 0)
		return -ENOMEM;
	memcpy(o->waiting + o->end, bytes, n);
	o->end += n;
	o->added += n;
	if (!full) /* else whoever polls is told when it takes more */
		terminal_out_flush(o);
	return 0;
}

bool terminal_out_lags(const struct terminal_out *o)
{
	return terminal_out_waiting(o) >= TERMINAL_OUT_LEAST && o->written < o->mark &&
	       clock_monotonic_ms() - o->mark_at > TERMINAL_OUT_LAG_MS;
}

size_t terminal_out_drop(struct terminal_out *o)
{
	static const uint8_t cancel[] = "\030\033\\", no_link[] = "\033]8;;\033\\";
	size_t n = terminal_out_waiting(o);

	o->start = o->end = 0;
	o->mark = o->written = o->added;
	if (o->modes->state != 0)
		terminal_out_add(o, cancel, sizeof(cancel) - 1);
	if (terminal_modes_in_link(o->modes))
		terminal_out_add(o, no_link, sizeof(no_link) - 1);
	return n;
}
