/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/host.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "observe/backend.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define BATCH 16 /* descriptors served in one dispatch */

struct held {
	char name[HELD_NAME_MAX];
	int fd; /* restored and not asked for yet; -1: somebody has it */
};

struct host {
	void (*complain)(void *userdata, uint32_t session, const char *text);
	void *complain_userdata;
	int epoll_fd, cgroup_dir;
	struct host_keeping keeping;
	struct host_loop loop; /* none: no function */
	struct host_lender lender;
	bool only_lent;
	struct borrowing *borrowed; /* asked for */
	uint32_t tickets;
	struct {
		const struct backend *backend;
		void *state;
	} shared[HOST_STATES];
	struct held *held;
	unsigned n_held;
	struct hook *hooks;
	struct batch *batch; /* being served */
};

/* What one host_dispatch() serves. */
struct batch {
	struct batch *outer;              /* of the dispatch in which this one was called */
	struct epoll_event events[BATCH]; /* of NULL: the watch has ended */
	int n;
};

static void ignore_hold(void *userdata _unused_, const char *name _unused_, int fd _unused_)
{
}

static void ignore_release(void *userdata _unused_, const char *name _unused_)
{
}

int host_new(struct host **ret, int cgroup_dir, const struct host_keeping *keeping)
{
	struct host *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->cgroup_dir = cgroup_dir;
	if (keeping)
		h->keeping = *keeping;
	else
		h->keeping = (struct host_keeping){ ignore_hold, ignore_release, NULL };
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->epoll_fd < 0) {
		int r = -errno;

		free(h);
		return r;
	}
	*ret = h;
	return 0;
}

struct host *host_free(struct host *h)
{
	if (!h)
		return NULL;
	for (unsigned i = 0; i < HOST_STATES; i++) {
		if (h->shared[i].state && h->shared[i].backend->close)
			h->shared[i].backend->close(h, h->shared[i].state);
	}
	for (unsigned i = 0; i < h->n_held; i++)
		fd_close(h->held[i].fd);
	free(h->held);
	fd_close(h->epoll_fd);
	free(h);
	return NULL;
}

int host_fd(const struct host *h)
{
	return h->epoll_fd;
}

void host_listen(struct host *h,
		 void (*complain)(void *userdata, uint32_t session, const char *text),
		 void *userdata)
{
	h->complain = complain;
	h->complain_userdata = userdata;
}

void host_complain(struct host *h, uint32_t session, const char *text)
{
	if (h->complain)
		h->complain(h->complain_userdata, session, text);
}

int host_cgroup_dir(const struct host *h)
{
	return h->cgroup_dir;
}

void host_dispatch(struct host *h)
{
	struct batch batch = { .outer = h->batch };

	batch.n = epoll_wait(h->epoll_fd, batch.events, BATCH, 0);
	h->batch = &batch;
	for (int i = 0; i < batch.n; i++) {
		struct watch *w = batch.events[i].data.ptr;

		if (w)
			w->ready(w);
	}
	h->batch = batch.outer;
	host_look(h);
}

void host_look(struct host *h)
{
	for (struct hook *k = h->hooks, *next; k; k = next) {
		next = k->next;
		k->look(k);
	}
}

void host_hook(struct host *h, struct hook *k)
{
	k->next = h->hooks;
	if (k->next)
		k->next->back = &k->next;
	k->back = &h->hooks;
	h->hooks = k;
}

void host_unhook(struct hook *k)
{
	*k->back = k->next;
	if (k->next)
		k->next->back = k->back;
}

int host_watch(struct host *h, struct watch *w)
{
	struct epoll_event event = { .events = EPOLLIN | (w->edge ? EPOLLET : 0U), .data.ptr = w };

	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, w->fd, &event) < 0 ? -errno : 0;
}

void host_unwatch(struct host *h, struct watch *w)
{
	(void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	/* What is called may end the watch that would be next. */
	for (struct batch *b = h->batch; b; b = b->outer)
		for (int i = 0; i < b->n; i++)
			if (b->events[i].data.ptr == w)
				b->events[i].data.ptr = NULL;
}

void host_set_loop(struct host *h, const struct host_loop *loop)
{
	h->loop = *loop;
}

int host_watch_direct(struct host *h, struct watch *w)
{
	return h->loop.watch ? h->loop.watch(h->loop.userdata, w) : host_watch(h, w);
}

void host_unwatch_direct(struct host *h, struct watch *w)
{
	if (h->loop.unwatch)
		h->loop.unwatch(h->loop.userdata, w);
	else
		host_unwatch(h, w);
}

void **host_shared(struct host *h, const struct backend *backend)
{
	unsigned i;

	/* There are fewer backends than places. */
	for (i = 0; h->shared[i].backend && h->shared[i].backend != backend; i++)
		continue;
	h->shared[i].backend = backend;
	return &h->shared[i].state;
}

/* --- what is lent ---------------------------------------------------------------------------- */

bool host_only_lends(void)
{
	const char *who = secure_getenv("REEVE_MEMORY");

	return who && strcmp(who, "keeper") == 0;
}

void host_set_lender(struct host *h, const struct host_lender *lender)
{
	h->lender = *lender;
	h->only_lent = host_only_lends();
}

bool host_lends(const struct host *h)
{
	return h->lender.ask != NULL;
}

bool host_lends_all(const struct host *h)
{
	return h->only_lent;
}

static void ask(struct host *h, struct borrowing *b)
{
	h->tickets += h->tickets == UINT32_MAX ? 2 : 1; /* none is 0 */
	b->ticket = h->tickets;
	h->lender.ask(h->lender.userdata, b->ticket, b->of, b->number);
}

void host_borrow(struct host *h, struct borrowing *b)
{
	b->next = h->borrowed;
	if (b->next)
		b->next->back = &b->next;
	b->back = &h->borrowed;
	h->borrowed = b;
	ask(h, b);
}

void host_unborrow(struct borrowing *b)
{
	if (!b->back)
		return;
	*b->back = b->next;
	if (b->next)
		b->next->back = b->back;
	b->next = NULL;
	b->back = NULL;
}

void host_ask_again(struct host *h)
{
	for (struct borrowing *b = h->borrowed; b; b = b->next)
		ask(h, b);
}

void host_lent(struct host *h, uint32_t ticket, int fd)
{
	struct borrowing *b = h->borrowed;

	while (b && b->ticket != ticket)
		b = b->next;
	if (!b) {
		fd_close(fd);
		return;
	}
	host_unborrow(b);
	b->lent(b, fd);
}

/* --- what outlives this process -------------------------------------------------------------- */

static struct held *find(struct host *h, const char *name)
{
	for (unsigned i = 0; i < h->n_held; i++) {
		if (strcmp(h->held[i].name, name) == 0)
			return &h->held[i];
	}
	return NULL;
}

static int add(struct host *h, const char *name, int fd)
{
	struct held *more;

	if (name[0] == '\0' || strlen(name) >= HELD_NAME_MAX)
		return -EINVAL;
	if (find(h, name))
		return -EEXIST;
	if (h->n_held == HOST_HELD_MAX)
		return -ENOSPC;
	more = reallocarray(h->held, h->n_held + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	h->held = more;
	strcpy(more[h->n_held].name, name);
	more[h->n_held].fd = fd;
	h->n_held++;
	return 0;
}

static void forget(struct host *h, struct held *held)
{
	*held = h->held[--h->n_held];
}

int host_restore(struct host *h, const char *name, int fd)
{
	int r = add(h, name, fd);

	if (r < 0)
		fd_close(fd);
	return r;
}

void host_settled(struct host *h)
{
	for (unsigned i = 0; i < HOST_STATES; i++) {
		if (h->shared[i].state && h->shared[i].backend->settled)
			h->shared[i].backend->settled(h, h->shared[i].state);
	}
	for (unsigned i = h->n_held; i-- > 0;) {
		if (h->held[i].fd < 0)
			continue;
		h->keeping.release(h->keeping.userdata, h->held[i].name);
		fd_close(h->held[i].fd);
		forget(h, &h->held[i]);
	}
}

int host_hold(struct host *h, const char *name, int fd)
{
	int r = add(h, name, -1);

	if (r < 0)
		return r;
	h->keeping.hold(h->keeping.userdata, name, fd);
	return 0;
}

void host_release(struct host *h, const char *name)
{
	struct held *held = find(h, name);

	if (!held)
		return;
	h->keeping.release(h->keeping.userdata, name);
	fd_close(held->fd);
	forget(h, held);
}

int host_held(struct host *h, const char *name)
{
	struct held *held = find(h, name);

	return held && held->fd >= 0 ? take_fd(&held->fd) : -ENOENT;
}
