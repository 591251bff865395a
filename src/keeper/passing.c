/* SPDX-License-Identifier: Apache-2.0 */
/* passing.c - system calls that wait for an observer are let pass while there is no engine for
 * long: the daemon was stopped and its sessions were kept, or its engines do not come up. */
#include "core/pending.h"
#include "keeper/keeper.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CALLS_A_TURN 256U

/* Since when nobody answers; 0: somebody does, or will soon enough. */
static bool is_wanted(const struct keeper *k, uint64_t now)
{
	const struct engine_process *e = &k->engine;

	return e->pid == 0 && (k->parked || (e->gone != 0 && now - e->gone >= PASS_MS));
}

/* What the last engine had received and not answered is not announced again. */
static void pass_left(struct keeper *k, unsigned slot)
{
	uint64_t id = 0;

	if (!slot_holds(k, slot, SLOT_FD_EVENTS) ||
	    pread(k->slots[slot].fds[SLOT_FD_EVENTS], &id, sizeof(id), EVENTS_PENDING_AT) !=
		    sizeof(id) ||
	    id == 0)
		return;
	if (entry_pass(k->slots[slot].fds[SLOT_FD_LISTENER], id) == 0)
		word_store(&keeper_slot(k, slot)->passed,
			   word_load(&keeper_slot(k, slot)->passed) + 1);
}

static void begin(struct keeper *k)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return;
	k->passing = fd + 1;
	for (unsigned i = 1; i <= k->top_slot; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		if (!slot_holds(k, i, SLOT_FD_LISTENER))
			continue;
		pass_left(k, i);
		(void)epoll_ctl(fd, EPOLL_CTL_ADD, k->slots[i].fds[SLOT_FD_LISTENER], &event);
	}
}

void passing_check(struct keeper *k, uint64_t now)
{
	bool wanted = is_wanted(k, now);

	if (wanted && k->passing == 0) {
		begin(k);
	} else if (!wanted && k->passing != 0) {
		(void)close(k->passing - 1);
		k->passing = 0;
	}
}

int passing_timeout(const struct keeper *k, uint64_t now)
{
	const struct engine_process *e = &k->engine;

	if (k->passing != 0 || e->pid != 0 || e->gone == 0)
		return -1;
	return e->gone + PASS_MS > now ? (int)(e->gone + PASS_MS - now) : 0;
}

void passing_readable(struct keeper *k)
{
	struct epoll_event events[16];

	for (unsigned i = 0; k->passing != 0 && i < CALLS_A_TURN; i++) {
		int n = epoll_wait(k->passing - 1, events, ARRAY_SIZE(events), 0);

		if (n <= 0)
			return;
		for (int j = 0; j < n; j++) {
			unsigned slot = events[j].data.u32;
			struct word *passed = &keeper_slot(k, slot)->passed;
			int fd = k->slots[slot].fds[SLOT_FD_LISTENER];

			if (!slot_holds(k, slot, SLOT_FD_LISTENER))
				continue;
			if ((events[j].events & EPOLLIN) != 0) {
				if (entry_pass_next(fd) == 0)
					word_store(passed, word_load(passed) + 1);
			} else if ((events[j].events & EPOLLHUP) != 0) {
				/* No process is under the filter. EPOLLERR says only that a signal
				 * kept it from looking. */
				(void)epoll_ctl(k->passing - 1, EPOLL_CTL_DEL, fd, NULL);
			}
		}
	}
}
