/* SPDX-License-Identifier: Apache-2.0 */
/* slots.c - the descriptors that the keeper holds for each slot, and telling the engine of changes.
 */
#include "base/fd.h"
#include "base/log.h"
#include "keeper/keeper.h"
#include <errno.h>
#include <unistd.h>

bool slot_holds(const struct keeper *k, unsigned slot, enum slot_fd fd)
{
	return k->slots[slot].held & 1U << fd;
}

void slot_take_fds(struct keeper *k, unsigned slot, int table[N_LINK_FDS])
{
	struct holding *h = &k->slots[slot];

	for (unsigned i = 0; i < N_SLOT_FDS; i++) {
		if (table[i] < 0)
			continue;
		if (h->held & 1U << i)
			close(h->fds[i]);
		h->fds[i] = take_fd(&table[i]);
		h->held |= 1U << i;
	}
	if (slot > k->top_slot)
		k->top_slot = slot;
}

void slot_close_fds(struct keeper *k, unsigned slot, uint32_t set)
{
	struct holding *h = &k->slots[slot];

	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		if (h->held & set & 1U << i)
			close(h->fds[i]);
	h->held &= ~set;
}

void slot_release(struct keeper *k, unsigned slot)
{
	struct holding *h = &k->slots[slot];

	slot_close_fds(k, slot, ~0U);
	if (h->watched)
		k->n_watched--;
	if (h->stopping)
		k->n_stopping--;
	if (h->dirty)
		k->n_dirty--;
	*h = (struct holding){ 0 };
}

/* Returns false when the engine cannot take it now. */
static bool tell(struct keeper *k, unsigned slot)
{
	struct holding *h = &k->slots[slot];
	struct link_message m = { .type = LINK_CHANGED, .slot = slot, .arg = h->looked };
	int table[N_LINK_FDS];

	if (h->send_pid && slot_holds(k, slot, SLOT_FD_PID)) {
		m.fds = 1U << SLOT_FD_PID;
		table[SLOT_FD_PID] = h->fds[SLOT_FD_PID];
	}
	if (h->send_pid && slot_holds(k, slot, SLOT_FD_LISTENER)) {
		m.fds |= 1U << SLOT_FD_LISTENER;
		table[SLOT_FD_LISTENER] = h->fds[SLOT_FD_LISTENER];
	}
	if (engine_send(k, &m, table) < 0)
		return false;
	h->send_pid = false;
	return true;
}

void slot_changed(struct keeper *k, unsigned slot)
{
	struct holding *h = &k->slots[slot];

	if (h->dirty || tell(k, slot))
		return;
	h->dirty = true;
	k->n_dirty++;
}

void slots_flush(struct keeper *k)
{
	for (unsigned i = 1; i <= k->top_slot && k->n_dirty > 0; i++) {
		if (!k->slots[i].dirty)
			continue;
		if (!tell(k, i))
			return;
		k->slots[i].dirty = false;
		k->n_dirty--;
	}
}

/* --- leaders by pid: open addressing, linear probing ---------------------------------------------
 */

static unsigned home_of(pid_t pid)
{
	return ((uint32_t)pid * 2654435761U) % PID_TABLE;
}

void slot_note_pid(struct keeper *k, unsigned slot, pid_t pid)
{
	unsigned i = home_of(pid);

	/* Twice as many places as slots: there is always a free one. */
	while (k->pids[i].pid != 0 && k->pids[i].pid != pid)
		i = (i + 1) % PID_TABLE;
	k->pids[i] = (struct pid_entry){ .pid = pid, .slot = slot };
}

static unsigned find(const struct keeper *k, pid_t pid)
{
	unsigned i = home_of(pid);

	while (k->pids[i].pid != 0 && k->pids[i].pid != pid)
		i = (i + 1) % PID_TABLE;
	return i;
}

unsigned slot_of_pid(const struct keeper *k, pid_t pid)
{
	unsigned i = find(k, pid);

	return k->pids[i].pid == pid ? k->pids[i].slot : 0;
}

void slot_forget_pid(struct keeper *k, pid_t pid)
{
	unsigned hole = find(k, pid), i = hole;

	if (k->pids[hole].pid != pid)
		return;
	/* Moves later entries of the run back, so that no search stops too early. */
	for (;;) {
		unsigned home;

		i = (i + 1) % PID_TABLE;
		if (k->pids[i].pid == 0)
			break;
		home = home_of(k->pids[i].pid);
		if ((i - home) % PID_TABLE < (i - hole) % PID_TABLE)
			continue;
		k->pids[hole] = k->pids[i];
		hole = i;
	}
	k->pids[hole].pid = 0;
}
