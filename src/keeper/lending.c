/* SPDX-License-Identifier: Apache-2.0 */
/* lending.c - what the engine may not open itself, since it is no ancestor of the children.
 *
 * It gets no more by this than by itself, but for that: both are one user's, with the same rights,
 * and whether we descend to a process the kernel looks at for the very one that it opens. That the
 * number was still the one's whose call waits, the engine asks its listener, before it reads. */
#include "base/fd.h"
#include "core/lend.h"
#include "keeper/keeper.h"
#include <errno.h>

/* The engine waits for each answer. One that finds no room is not kept: it asks again. Where too
 * many descriptors of this user are on their way it would not end; it goes on without this one. */
static void answer(struct keeper *k, uint32_t ticket, int fd)
{
	struct link_message m = { .type = LINK_LENT, .slot = ticket };
	int table[N_LINK_FDS], r;

	if (fd >= 0) {
		table[LENT_FD] = fd;
		m.fds = 1U << LENT_FD;
	}
	r = engine_send(k, &m, table);
	if (r == -ETOOMANYREFS) {
		m.fds = 0;
		r = engine_send(k, &m, NULL);
	}
	k->lent_lost = k->lent_lost || (r < 0 && r != -EPIPE);
}

void lending_ask(struct keeper *k, const struct link_message *m)
{
	pid_t of = (pid_t)(m->arg & 0xffffffff);
	uint32_t number = (uint32_t)(m->arg >> 32);
	int fd = -ESRCH;

	if (of > 0)
		fd = number == 0 ? lend_memory(of) : lend_descriptor(of, (int)(number - 1));
	answer(k, m->slot, fd);
	if (fd >= 0)
		fd_close(fd);
}

void lending_flush(struct keeper *k)
{
	if (!k->lent_lost)
		return;
	k->lent_lost = false;
	answer(k, 0, -1);
}
