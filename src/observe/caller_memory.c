/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor stays that of one program: when another runs nothing is read from it, unless a
 * third process shares the memory (vfork). So it is closed at each execve, and opened only where
 * those are seen. And it is closed after a moment in which no number of a thread comes again. */
#include "observe/caller_memory.h"
#include "base/clock.h"
#include "observe/call_decode.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define CALLS_MIN 8U /* in a row: opening costs as much as a few of them save */
#define OPEN_US   50000U

static void close_it(struct caller_memory *m)
{
	if (m->fd > 0)
		(void)close(m->fd);
	m->fd = 0;
}

static void open_it(struct caller_memory *m, const struct call *c, uint64_t now)
{
	char path[64];
	int fd;

	close_it(m);
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", c->tid);
	call_by_number(c);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	m->fd = fd > 0 ? fd : 0;
	m->until = now + OPEN_US;
}

void caller_memory_close(struct caller_memory *m)
{
	close_it(m);
	m->row = 0;
	m->until = 0;
}

int caller_memory(struct caller_memory *m, const struct call *c)
{
	bool executes = call_executes(c);
	uint64_t now;

	m->sees_programs |= executes;
	if (executes || c->tid != m->tid)
		caller_memory_close(m);
	m->tid = c->tid;
	if (executes || !m->sees_programs || ++m->row < CALLS_MIN)
		return 0;
	now = clock_monotonic_us();
	if (now >= m->until)
		open_it(m, c, now);
	return m->fd;
}
