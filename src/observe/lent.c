/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor of memory is that of one program, as in caller_memory.c: it is kept until the next
 * execve, and only where those are seen. And for a moment only, since the number of a thread may
 * become another's, and memory that others share (vfork) outlives who it was opened for. No system
 * gives all of its numbers away in that time. */
#include "observe/lent.h"
#include "base/clock.h"
#include "base/fd.h"
#include "observe/call_decode.h"

#define KEEP_US 200000U

static void close_memory(struct lent *t, struct lent_memory *m)
{
	if (m->tid != 0) {
		fd_close(m->fd);
		t->all->n--;
	}
	*m = (struct lent_memory){ 0 };
}

static struct lent_memory *find(struct lent *t, int32_t tid)
{
	for (unsigned i = 0; tid != 0 && i < LENT_MAX; i++)
		if (t->memories[i].tid == tid)
			return &t->memories[i];
	return NULL;
}

void lent_forget(struct lent *t, int32_t tid)
{
	struct lent_memory *m = find(t, tid);

	if (m)
		close_memory(t, m);
}

static void close_socket(struct lent *t)
{
	if (t->loan.socket > 0)
		fd_close(t->loan.socket);
	t->loan.socket = 0;
}

bool lent_only(const struct lent *t, const struct host *h)
{
	return t->all->only || host_lends_all(h);
}

void lent_use(struct lent *t, const struct host *h, struct call *c)
{
	struct lent_memory *m = find(t, c->tid);

	if (!host_lends(h))
		return;
	t->sees_programs |= call_executes(c);
	t->loan.only = lent_only(t, h);
	t->loan.wants_memory = t->loan.wants_socket = false;
	c->loan = &t->loan;
	if (!m)
		return;
	call_by_number(c);
	if (t->has_memory || clock_monotonic_us() < m->until)
		c->memory = m->fd;
	else
		close_memory(t, m);
}

bool lent_ask(struct lent *t, struct host *h, const struct call *c)
{
	if (!c->loan)
		return false;
	if (t->loan.wants_memory && !t->has_memory) {
		t->asking.of = c->tid;
		t->asking.number = -1;
	} else if (t->loan.wants_socket && !t->had_socket) {
		t->asking.of = t->loan.pid;
		t->asking.number = t->loan.number;
	} else {
		return false;
	}
	t->waits = true;
	host_borrow(h, &t->asking);
	return true;
}

static void keep_memory(struct lent *t, int fd)
{
	struct lent_memory *m = &t->memories[t->next];

	lent_forget(t, t->asking.of);
	if (fd < 0)
		return;
	close_memory(t, m);
	*m = (struct lent_memory){ t->asking.of, fd, clock_monotonic_us() + KEEP_US };
	t->next = (t->next + 1) % LENT_MAX;
	t->all->n++;
}

void lent_take(struct lent *t, int fd)
{
	t->waits = false;
	if (t->asking.number < 0) {
		t->has_memory = true;
		t->all->only = fd >= 0;
		keep_memory(t, fd);
		return;
	}
	t->had_socket = true;
	close_socket(t);
	t->loan.socket = MAX(fd, 0);
}

void lent_drop(struct lent *t)
{
	t->waits = t->has_memory = t->had_socket = false;
	close_socket(t);
}

void lent_over(struct lent *t, const struct call *c, int32_t pid)
{
	if (!c->loan)
		return;
	lent_drop(t);
	if (t->sees_programs && !call_executes(c) && t->all->n <= LENT_ALL_MAX)
		return;
	lent_forget(t, c->tid);
	lent_forget(t, pid); /* whichever thread executes it, it has the number of the first then */
}

void lent_close(struct lent *t)
{
	host_unborrow(&t->asking);
	lent_drop(t);
	for (unsigned i = 0; i < LENT_MAX; i++)
		close_memory(t, &t->memories[i]);
}
