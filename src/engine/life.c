/* SPDX-License-Identifier: Apache-2.0 */
/* life.c - the engine from its first descriptor to its last answer. */
#include "base/clock.h"
#include "base/log.h"
#include "core/stopplan.h"
#include "engine/attachment.h"
#include "engine/budget.h"
#include "engine/observe.h"
#include "engine/owner.h"
#include "engine/session.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define LEAVE_MS    30   /* time for the last answers to reach their clients */
#define PATIENCE_MS 5000 /* what holds the end back for longer is named in the log */

/* --- loading
 * ------------------------------------------------------------------------------------------- */

static void restore_lease(struct session *s)
{
	struct control_slot *w = s->words;

	if (word_load(&w->attach_mode) == ATTACH_NONE)
		return;
	/* Its connection went with the engine before; it has its time to come back. */
	word_store(&w->lease, clock_boottime_ms() + ATTACH_LEASE_MS);
	attachment_lease_check(s);
}

static int load_slot(struct engine *e, unsigned slot)
{
	struct control_slot *w = engine_slot(e, slot);
	struct error err = { 0 };
	int fds[N_SLOT_FDS], r;
	struct session *s;

	if (word_load(&w->state) == SLOT_LEAVING) {
		slot_give_back(e, slot);
		return 0;
	}
	if (word_load(&w->state) != SLOT_LIVE)
		return 0;
	r = link_pull(e, slot, fds);
	if (r < 0)
		return r;
	if (fds[SLOT_FD_MEMORY] < 0 && !word_load(&w->quarantined)) {
		/* The engine before died between storing the record and asking the keeper. */
		slot_give_back(e, slot);
		return 0;
	}
	r = session_load(e, slot, fds, &s, &err);
	if (r < 0) {
		log_error("%s", err.message);
		return 0;
	}
	restore_lease(s);
	owner_resume(s);
	session_set_starting(s, word_load(&w->spawn) < SPAWN_STARTED);
	return 0;
}

/* What a dead engine left in the ring has been recovered. */
static void begin_to_read(struct capture *c)
{
	int r;

	if (!c->reads.rings)
		return;
	r = uring_read_open(&c->reads);
	c->can_read = r >= 0;
	if (r < 0)
		log_info("output is not captured by io_uring: %s", strerror(-r));
}

static int load(struct engine *e, struct error *err)
{
	for (unsigned i = 1; i < CONTROL_SLOTS; i++) {
		int r = load_slot(e, i);

		if (r < 0)
			return error_set_errno(err, ERROR_INTERNAL, r, "load slot %u", i);
	}
	/* What belonged to a slot that is not there, and rubbish from the middle of a step. */
	capture_recover(&e->capture, NULL, 0);
	feed_recover(&e->feed, NULL);
	begin_to_read(&e->capture);
	return 0;
}

/* --- leaving
 * ------------------------------------------------------------------------------------------- */

static void leave(uv_timer_t *timer)
{
	struct engine *e = timer->data;

	direct_stop(&e->direct, &e->loop);
}

/* A session that is still to be ended before the daemon can go; NULL for none. */
static struct session *holds_back(const struct engine *e)
{
	for (struct session *s = e->first; s && e->quitting == QUIT_STOP; s = s->newer)
		if ((session_tree_alive(s) && !word_load(&s->words->stop.refused)) ||
		    s->pending_spawn)
			return s;
	return NULL;
}

static void say_what_holds_back(uv_timer_t *timer)
{
	const struct engine *e = timer->data;
	const struct session *s = holds_back(e);

	if (s)
		log_info("still here because of %s: %s, %s", s->id, session_status(s),
			 s->pending_spawn    ? "its command is being started"
			 : session_exited(s) ? "processes of it still run"
					     : "its command still runs");
}

void engine_check_quit(struct engine *e)
{
	if (e->quitting == QUIT_NOT || e->going)
		return;
	if (holds_back(e)) {
		if (!uv_is_active((uv_handle_t *)&e->leaving))
			uv_timer_start(&e->leaving, say_what_holds_back, PATIENCE_MS, PATIENCE_MS);
		return;
	}
	e->going = true;
	uv_timer_start(&e->leaving, leave, LEAVE_MS, 0);
}

void engine_quit(struct engine *e, enum quit_mode mode)
{
	struct stop_plan plan;

	if (e->quitting == QUIT_STOP || mode == QUIT_NOT)
		return;
	e->quitting = mode;
	link_tell(e, LINK_QUIT, 0, mode);
	for (struct session *s = e->first; s && mode == QUIT_STOP; s = s->newer) {
		session_plan(s, &plan);
		session_stop(s, &plan, CAUSE_STOP);
	}
	engine_check_quit(e);
}

static void on_sigterm(uv_signal_t *signal, int number)
{
	(void)number;
	engine_quit(signal->data, QUIT_STOP);
}

/* --- start
 * --------------------------------------------------------------------------------------------- */

static int find_keeper(struct engine *e)
{
	char path[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (n < 0)
		return -errno;
	path[n] = 0;
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "reeve-keeper");
	e->keeper_path = strdup(path);
	return e->keeper_path ? 0 : -ENOMEM;
}

/* One can do without, but not when a dead engine has left in it how much it took. */
static int map_reads(struct engine *e, struct error *err)
{
	int r;

	if (e->reads_fd < 0)
		return 0;
	fcntl(e->reads_fd, F_SETFD, FD_CLOEXEC);
	r = uring_read_map(&e->capture.reads, e->reads_fd, &e->daemon->reads);
	if (r >= 0)
		return 0;
	if (word_load(&e->daemon->move_phase) == PHASE_READING)
		return error_set_errno(err, ERROR_EXHAUSTED, r, "map the ring of reads");
	log_warn("the ring of reads cannot be mapped: %s", strerror(-r));
	return 0;
}

static int open_daemon(struct engine *e, int sock, struct error *err)
{
	int r = find_keeper(e);

	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "find reeve-keeper");
	r = uv_loop_init(&e->loop);
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "make the event loop");
	uv_timer_init(&e->loop, &e->leaving);
	flood_init(&e->flood, &e->loop);
	settings_load(&e->settings);
	housekeeping_init(e);
	budget_init(e);
	uv_signal_init(&e->loop, &e->sigterm);
	e->leaving.data = e->sigterm.data = e;
	r = link_open(e, sock, err);
	if (r < 0)
		return r;
	e->capture = (struct capture){ .daemon = e->daemon,
				       .pipe_r = e->daemon_fds[DAEMON_FD_TRANSFER_R],
				       .pipe_w = e->daemon_fds[DAEMON_FD_TRANSFER_W] };
	r = map_reads(e, err);
	if (r < 0)
		return r;
	e->feed = (struct feed){ .daemon = e->daemon,
				 .pipe_r = e->daemon_fds[DAEMON_FD_FEED_R],
				 .pipe_w = e->daemon_fds[DAEMON_FD_FEED_W] };
	return 0;
}

int engine_load(struct engine *e, int sock, struct error *err)
{
	int r = open_daemon(e, sock, err);

	if (r >= 0)
		r = roster_open(e, err);
	if (r >= 0)
		r = load(e, err);
	if (r < 0)
		return r;
	roster_recover(e);
	return observe_resume(e, err);
}

int engine_run(struct engine *e, struct error *err)
{
	enum quit_mode mode = e->quitting;
	int r = link_run(e);

	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "watch the keeper");
	uv_signal_start(&e->sigterm, on_sigterm, SIGTERM);
	cgroups_init(e); /* first: a session whose tree is gone by now gives its leaf up */
	for (unsigned i = 1; i < CONTROL_SLOTS; i++) {
		if (e->slots[i])
			session_update(e->slots[i], true);
		if (!e->slots[i])
			continue;
		/* What was asked for, and cut short. */
		session_resume(e->slots[i]);
		input_pump(e->slots[i]);
	}
	housekeeping_soon(e);
	e->quitting = QUIT_NOT;
	engine_quit(e, mode);
	direct_run(&e->direct, &e->loop);
	cgroups_done(e);
	return 0;
}
