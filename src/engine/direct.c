/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/direct.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct direct {
	struct direct *next;
	struct watch *watch;
	bool own;
	uv_poll_t poll; /* not our own */
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct direct *it = poll->data;

	(void)status;
	(void)events;
	it->watch->ready(it->watch);
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

/* Frees it on failure. */
static int leave_to_libuv(struct direct *it, uv_loop_t *loop)
{
	int r = uv_poll_init(loop, &it->poll, it->watch->fd);

	if (r < 0) {
		free(it);
		return r;
	}
	it->poll.data = it;
	r = uv_poll_start(&it->poll, UV_READABLE, on_poll);
	if (r < 0)
		uv_close((uv_handle_t *)&it->poll, on_closed);
	return r;
}

int direct_watch(struct direct_waits *d, uv_loop_t *loop, struct watch *w)
{
	struct direct *it = calloc(1, sizeof(*it));
	int r;

	if (!it)
		return -ENOMEM;
	it->watch = w;
	it->own = d->n_own < DIRECT_MAX;
	r = it->own ? 0 : leave_to_libuv(it, loop);
	if (r < 0)
		return r;
	d->n_own += it->own;
	it->next = d->first;
	d->first = it;
	return 0;
}

void direct_unwatch(struct direct_waits *d, const struct watch *w)
{
	struct direct **place = &d->first, *it;

	while (*place && (*place)->watch != w)
		place = &(*place)->next;
	it = *place;
	if (!it)
		return;
	*place = it->next;
	if (it->own) {
		d->n_own--;
		free(it);
	} else {
		uv_close((uv_handle_t *)&it->poll, on_closed);
	}
}

static bool is_own(const struct direct_waits *d, const struct watch *w)
{
	for (const struct direct *it = d->first; it; it = it->next)
		if (it->watch == w)
			return it->own;
	return false;
}

/* What its descriptor was told to be is still true only for the first that is called. */
static void call_each(const struct direct_waits *d, const struct pollfd *p,
		      struct watch *const *watches, nfds_t n)
{
	bool first = true;

	for (nfds_t i = 0; i < n; i++) {
		/* What was called before may have ended this one. */
		if (p[i].revents == 0 || !is_own(d, watches[i]))
			continue;
		watches[i]->seen = first ? p[i].revents : 0;
		watches[i]->ready(watches[i]);
		first = false;
	}
}

/* Whether libuv has something to do. */
static bool wait_for_all(const struct direct_waits *d, uv_loop_t *loop)
{
	struct pollfd p[DIRECT_MAX + 1] = { { .fd = uv_backend_fd(loop), .events = POLLIN } };
	struct watch *watches[DIRECT_MAX + 1];
	nfds_t n = 1;
	int timeout, r;

	for (const struct direct *it = d->first; it; it = it->next) {
		if (!it->own)
			continue;
		watches[n] = it->watch;
		p[n++] = (struct pollfd){ .fd = it->watch->fd, .events = POLLIN };
	}
	uv_update_time(loop);
	/* No time to wait where its epoll does not know yet of all that libuv waits for. */
	timeout = uv_backend_timeout(loop);
	r = poll(p, n, timeout);
	if (r <= 0)
		return true;
	uv_update_time(loop);
	if (p[0].revents != 0 && d->asked)
		d->asked(d->userdata);
	call_each(d, p + 1, watches + 1, n - 1);
	return p[0].revents != 0 || timeout == 0;
}

void direct_run(struct direct_waits *d, uv_loop_t *loop)
{
	bool alive = true;

	while (alive && !d->over) {
		if (d->n_own == 0)
			alive = uv_run(loop, UV_RUN_ONCE) != 0;
		else if (wait_for_all(d, loop))
			alive = uv_run(loop, UV_RUN_NOWAIT) != 0;
	}
}

void direct_stop(struct direct_waits *d, uv_loop_t *loop)
{
	d->over = true;
	uv_stop(loop);
}
