/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/typing.h"
#include "base/clock.h"
#include "core/pty.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define SLAVE_MAJOR 136  /* of Unix98 pseudo-terminals, devices.txt */
#define ANSWER_MS   500U /* an answer of the keeper is good for so long */

static uint64_t slave_device(int master)
{
	unsigned number;

	return ioctl(master, TIOCGPTN, &number) < 0 ? 0 : makedev(SLAVE_MAJOR, number);
}

/* For tests: as where the kernel lets only ancestors look at a process (Yama's scope 1). */
static bool is_refused(void)
{
	const char *who = getenv("REEVE_TYPING");

	return who && strcmp(who, "keeper") == 0;
}

/* By ourselves, where the kernel allows it. What it refused it will refuse again. */
static enum tty_wait look(struct session *s, uint64_t device, pid_t foreground)
{
	struct engine *e = s->engine;

	if (!device || s->typing_at != 0 || is_refused())
		return TTY_WAIT_UNKNOWN;
	return tty_wait_look(&e->typing.groups, foreground, device, e->daemon_fds[DAEMON_FD_CGROUP],
			     (uint32_t)word_load(&s->words->cgroup));
}

enum tty_wait typing_look(struct session *s)
{
	int master = s->fds[SLOT_FD_OUT];
	uint64_t device, now = clock_monotonic_ms();
	enum tty_wait found;
	pid_t foreground;

	if (!session_is_pty(s) || master < 0 || session_ended(s))
		return TTY_WAIT_UNKNOWN;
	/* what was written since may mean that something else goes on */
	if (s->typing_at != 0 && now - s->typing_at < MIN((uint64_t)ANSWER_MS, typing_quiet(s)))
		return (enum tty_wait)s->typing_answer;
	pace_begin(&s->engine->typing.pace);
	device = slave_device(master);
	foreground = pty_foreground(master);
	found = look(s, device, foreground);
	if (found == TTY_WAIT_UNKNOWN && foreground > 0)
		link_tell(s->engine, LINK_LOOK, s->slot, device << 32 | (uint32_t)foreground);
	pace_end(&s->engine->typing.pace, s->typing_cost);
	return found;
}

void typing_answered(struct session *s, enum tty_wait answer, uint64_t cost_us)
{
	s->typing_answer = answer;
	s->typing_cost = cost_us;
	s->typing_at = clock_monotonic_ms();
	session_notify(s);
}

bool typing_echo(const struct session *s)
{
	struct pty_mode mode;

	return s->fds[SLOT_FD_OUT] >= 0 && pty_mode(s->fds[SLOT_FD_OUT], &mode) >= 0 &&
	       (mode.echo || !mode.canonical);
}

uint64_t typing_quiet(const struct session *s)
{
	uint64_t head = word_load(&s->words->index_head), now = clock_realtime_ms(), last;

	last = head == 0 ? word_load(&s->words->started)
			 : index_get(&s->index, head - 1).when / 1000;
	return now > last ? now - last : 0;
}
