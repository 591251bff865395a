/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/drawer.h"
#include "base/clock.h"
#include "base/signals.h"
#include "draw/wire.h"
#include "engine/engine.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct drawers {
	struct engine *engine;
	struct drawer each[DRAWERS_MAX];
	struct drawer_task *first, **end; /* that no drawer is free for */
	uv_timer_t idle;
};

/* --- the process --------------------------------------------------------------------------------
 */

void drawer_init(struct drawer *d)
{
	*d = (struct drawer){ 0 };
	aide_init(&d->aide, "a drawer", "--draw", SOCK_STREAM);
}

void drawer_end(struct drawer *d)
{
	(void)aide_end(&d->aide);
}

/* Between two drawings it is silent. */
static bool is_well(const struct drawer *d)
{
	struct pollfd p = { .fd = d->aide.sock, .events = POLLIN | POLLRDHUP };

	return d->aide.pid > 0 && poll(&p, 1, 0) == 0;
}

static int tell_end(int r, int status, struct error *e)
{
	if (r == -ETIME)
		error_set(e, ERROR_UNAVAILABLE, "the drawer took more than %u s and was killed",
			  DRAWER_DRAW_MS / 1000);
	else if (r == -EPROTO)
		error_set(e, ERROR_UNAVAILABLE,
			  "the drawer has answered what cannot be, and was killed");
	else if (WIFSIGNALED(status))
		error_set(e, ERROR_UNAVAILABLE, "the drawer died of %s",
			  signal_name(WTERMSIG(status)));
	else
		error_set(e, ERROR_UNAVAILABLE, "the drawer ended with exit code %d",
			  WEXITSTATUS(status));
	return r;
}

int drawer_draw(struct drawer *d, const struct screen_input *in, unsigned parts,
		struct screen_shot *shot, struct error *e)
{
	uint64_t deadline = clock_monotonic_ms() + DRAWER_DRAW_MS;
	int r, status;

	if (!is_well(d)) {
		drawer_end(d);
		r = aide_start(&d->aide, e);
		if (r < 0)
			return r;
	}
	r = screen_send(d->aide.sock, in, parts, deadline);
	if (r >= 0)
		r = screen_receive(d->aide.sock, shot, deadline);
	if (r >= 0)
		return 0;
	if (r == -ENOMEM || r == -EFBIG) {
		drawer_end(d); /* it may still have something to say */
		return error_set_errno(e, ERROR_EXHAUSTED, r, "draw the screen");
	}
	status = r == -EPIPE ? aide_take_leave(&d->aide, deadline) : aide_end(&d->aide);
	return tell_end(r == -ETIME || r == -EPROTO ? r : -EPIPE, status, e);
}

/* --- on the loop --------------------------------------------------------------------------------
 */

static void dispatch(struct drawers *ds);

static void work_run(uv_work_t *work)
{
	struct drawer *d = container_of(work, struct drawer, work);

	if (d->task)
		d->task->run(d->task, d);
	else
		drawer_end(d);
}

static void end_idle(uv_timer_t *timer);

static void work_done(uv_work_t *work, int status)
{
	struct drawer *d = container_of(work, struct drawer, work);
	struct drawers *ds = d->drawers;
	struct drawer_task *task = take(d->task);

	(void)status; /* nothing cancels it */
	d->busy = false;
	if (task)
		task->done(task);
	dispatch(ds);
	if (task)
		uv_timer_start(&ds->idle, end_idle, DRAWER_IDLE_MS, 0);
}

static void put_to_work(struct drawer *d, struct drawer_task *task)
{
	d->task = task;
	d->busy = true;
	uv_queue_work(&d->drawers->engine->loop, &d->work, work_run, work_done);
}

static void end_idle(uv_timer_t *timer)
{
	struct drawers *ds = timer->data;

	for (unsigned i = 0; i < DRAWERS_MAX; i++)
		if (!ds->each[i].busy && ds->each[i].aide.pid > 0)
			put_to_work(&ds->each[i], NULL);
}

/* One that runs rather than one that must be started. */
static struct drawer *find_free(struct drawers *ds)
{
	struct drawer *found = NULL;

	for (unsigned i = 0; i < DRAWERS_MAX; i++) {
		struct drawer *d = &ds->each[i];

		if (!d->busy && (!found || (found->aide.pid <= 0 && d->aide.pid > 0)))
			found = d;
	}
	return found;
}

static void dispatch(struct drawers *ds)
{
	struct drawer *d;

	while (ds->first && (d = find_free(ds))) {
		struct drawer_task *task = ds->first;

		ds->first = task->next;
		if (!ds->first)
			ds->end = &ds->first;
		put_to_work(d, task);
	}
}

static struct drawers *drawers_new(struct engine *e)
{
	struct drawers *ds = calloc(1, sizeof(*ds));

	if (!ds)
		return NULL;
	ds->engine = e;
	ds->end = &ds->first;
	for (unsigned i = 0; i < DRAWERS_MAX; i++) {
		drawer_init(&ds->each[i]);
		ds->each[i].drawers = ds;
	}
	uv_timer_init(&e->loop, &ds->idle);
	ds->idle.data = ds;
	uv_unref((uv_handle_t *)&ds->idle);
	return ds;
}

int drawers_submit(struct engine *e, struct drawer_task *task)
{
	if (!e->drawers)
		e->drawers = drawers_new(e);
	if (!e->drawers)
		return -ENOMEM;
	task->next = NULL;
	*e->drawers->end = task;
	e->drawers->end = &task->next;
	dispatch(e->drawers);
	return 0;
}
