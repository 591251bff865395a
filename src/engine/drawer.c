/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/drawer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/signals.h"
#include "draw/wire.h"
#include "engine/engine.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
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
	*d = (struct drawer){ .sock = -1, .program = DRAWER_PROGRAM };
}

/* Returns the wait status. */
static int put_down(struct drawer *d)
{
	int status = 0;

	d->sock = fd_close(d->sock);
	if (d->pid <= 0)
		return 0;
	kill(d->pid, SIGKILL); /* ours, not reaped yet */
	while (waitpid(d->pid, &status, 0) < 0 && errno == EINTR)
		;
	d->pid = 0;
	return status;
}

void drawer_end(struct drawer *d)
{
	(void)put_down(d);
}

/* Its socket, and nothing to read or write besides. Everything else is closed by the exec. */
static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *how, int sock)
{
	sigset_t none, all;
	int r = posix_spawn_file_actions_adddup2(actions, sock, 0);

	sigemptyset(&none);
	sigfillset(&all);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, 1, 2);
	if (r == 0)
		r = posix_spawnattr_setsigmask(how, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(how, &all);
	return r ? r
		 : posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn_at(struct drawer *d, int sock)
{
	static char name[] = "reeved", option[] = "--draw";
	char *const argv[] = { name, option, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t how;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&how);
	if (r == 0) {
		r = prepare(&actions, &how, sock);
		if (r == 0)
			r = posix_spawn(&d->pid, d->program, &actions, &how, argv, environ);
		posix_spawnattr_destroy(&how);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		d->pid = 0;
	return -r;
}

static int start(struct drawer *d, struct error *e)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, errno, "make a socket for a drawer");
	r = fd_set_nonblock(pair[0], true);
	if (r >= 0)
		r = spawn_at(d, pair[1]);
	close(pair[1]);
	d->sock = pair[0];
	if (r >= 0)
		return 0;
	d->sock = fd_close(d->sock);
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "start a drawer, \"%s --draw\"",
			       d->program);
}

/* Between two drawings it is silent. */
static bool is_well(const struct drawer *d)
{
	struct pollfd p = { .fd = d->sock, .events = POLLIN | POLLRDHUP };

	return d->pid > 0 && poll(&p, 1, 0) == 0;
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

/* Gives one that has closed its socket the time to become a zombie, so that its own end is told. */
static int take_leave(struct drawer *d, uint64_t deadline)
{
	int status = 0;
	pid_t pid;

	while ((pid = waitpid(d->pid, &status, WNOHANG)) == 0 && clock_monotonic_ms() < deadline)
		(void)poll(NULL, 0, 1);
	if (pid != d->pid)
		return put_down(d);
	d->pid = 0;
	d->sock = fd_close(d->sock);
	return status;
}

int drawer_draw(struct drawer *d, const struct screen_input *in, unsigned parts,
		struct screen_shot *shot, struct error *e)
{
	uint64_t deadline = clock_monotonic_ms() + DRAWER_DRAW_MS;
	int r, status;

	if (!is_well(d)) {
		drawer_end(d);
		r = start(d, e);
		if (r < 0)
			return r;
	}
	r = screen_send(d->sock, in, parts, deadline);
	if (r >= 0)
		r = screen_receive(d->sock, shot, deadline);
	if (r >= 0)
		return 0;
	if (r == -ENOMEM || r == -EFBIG) {
		drawer_end(d); /* it may still have something to say */
		return error_set_errno(e, ERROR_EXHAUSTED, r, "draw the screen");
	}
	status = r == -EPIPE ? take_leave(d, deadline) : put_down(d);
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
		if (!ds->each[i].busy && ds->each[i].pid > 0)
			put_to_work(&ds->each[i], NULL);
}

/* One that runs rather than one that must be started. */
static struct drawer *find_free(struct drawers *ds)
{
	struct drawer *found = NULL;

	for (unsigned i = 0; i < DRAWERS_MAX; i++) {
		struct drawer *d = &ds->each[i];

		if (!d->busy && (!found || (found->pid <= 0 && d->pid > 0)))
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
