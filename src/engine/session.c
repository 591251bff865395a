/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - makes, changes and removes the engine's picture of a session. */
#include "engine/session.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/slice.h"
#include "core/pipes.h"
#include "core/stopplan.h"
#include "engine/attachment.h"
#include "engine/budget.h"
#include "engine/card.h"
#include "engine/launch.h"
#include "engine/observe.h"
#include "engine/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* --- listeners
 * ---------------------------------------------------------------------------------------- */

void session_listen(struct session *s, struct listener *l)
{
	l->next = s->listeners;
	l->back = &s->listeners;
	if (l->next)
		l->next->back = &l->next;
	s->listeners = l;
}

void session_unlisten(struct listener *l)
{
	if (!l->back)
		return;
	*l->back = l->next;
	if (l->next)
		l->next->back = l->back;
	l->next = NULL;
	l->back = NULL;
}

/* Calls each listener once, though any of them may take itself or others out meanwhile: those still
 * to be called stand on a list of their own. */
static void call_all(struct session *s, void (*call)(struct listener *l))
{
	struct listener *todo = s->listeners;

	session_hold(s);
	if (todo)
		todo->back = &todo;
	s->listeners = NULL;
	while (todo) {
		struct listener *l = todo;

		session_unlisten(l);
		session_listen(s, l);
		call(l);
	}
	session_let_go(s);
}

static void call_changed(struct listener *l)
{
	if (l->changed)
		l->changed(l);
}

static void call_gone(struct listener *l)
{
	session_unlisten(l);
	l->gone(l);
}

void session_notify(struct session *s)
{
	call_all(s, call_changed);
}

/* --- loading
 * ------------------------------------------------------------------------------------------ */

static void link_in(struct session *s)
{
	struct engine *e = s->engine;
	struct session *older = e->last;
	uint64_t handle = word_load(&s->words->handle);

	while (older && word_load(&older->words->handle) > handle)
		older = older->older;
	s->older = older;
	s->newer = older ? older->newer : e->first;
	if (s->newer)
		s->newer->older = s;
	else
		e->last = s;
	if (older)
		older->newer = s;
	else
		e->first = s;
	e->slots[s->slot] = s;
	e->n_sessions++;
	lookup_add(s);
}

static void link_out(struct session *s)
{
	struct engine *e = s->engine;

	if (e->slots[s->slot] != s)
		return;
	lookup_remove(s);
	if (s->newer)
		s->newer->older = s->older;
	else
		e->last = s->older;
	if (s->older)
		s->older->newer = s->newer;
	else
		e->first = s->newer;
	e->slots[s->slot] = NULL;
	e->n_sessions--;
}

static int map_memory(struct session *s, struct error *err)
{
	struct stat st;
	int r = layout_of(s->words, &s->layout);

	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "the record of slot %u is damaged", s->slot);
	if (s->fds[SLOT_FD_MEMORY] < 0 || fstat(s->fds[SLOT_FD_MEMORY], &st) < 0 ||
	    (uint64_t)st.st_size < s->layout.size)
		return error_set(err, ERROR_INTERNAL, "the memory of slot %u is missing", s->slot);
	s->map = mmap(NULL, s->layout.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      s->fds[SLOT_FD_MEMORY], 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return error_set_errno(err, ERROR_EXHAUSTED, errno, "map the memory of slot %u",
				       s->slot);
	}
	index_init(&s->index, (char *)s->map + s->layout.index, word_load(&s->words->index_size),
		   &s->words->index_head);
	return 0;
}

static void free_memory(struct session *s)
{
	if (s->map)
		munmap(s->map, s->layout.size);
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		fd_close(s->fds[i]);
	meta_forget(s);
	free(s);
}

static void settle_pipes(struct session *s)
{
	struct engine *e = s->engine;
	unsigned slot, stream;

	if (capture_pending(&e->capture, &slot, &stream) && slot == s->slot) {
		struct capture_stream *c = &s->streams[stream].capture;
		uint64_t before = budget_of_ring(&c->ring);
		uint64_t lost = capture_recover(&e->capture, c, clock_realtime_us());

		budget_add(e, budget_of_ring(&c->ring) - before);
		if (lost > 0)
			log_error("%s: %llu bytes of stream %u were lost", s->id,
				  (unsigned long long)lost, stream);
	}
	if (feed_pending(&e->feed, &slot) && slot == s->slot)
		feed_recover(&e->feed, &s->words->in_delivered);
}

/* Offsets that do not fit their rings would lead out of the memory. */
static bool words_fit(const struct session *s)
{
	static const enum slot_fd fds[STREAMS_MAX] = { SLOT_FD_OUT, SLOT_FD_ERR };
	const struct control_slot *w = s->words;
	uint64_t accepted = word_load(&w->in_accepted), delivered = word_load(&w->in_delivered);

	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		const struct ring *r = &s->streams[i].capture.ring;

		if (word_load(r->floor) > ring_head(r))
			return false;
		if (r->size == 0 && (ring_head(r) > 0 || s->fds[fds[i]] >= 0))
			return false;
	}
	return delivered <= accepted && accepted - delivered <= word_load(&w->in_size);
}

/* Finishes what an engine before had begun, and watches the pipes. */
static int open_pipes(struct session *s, struct error *err)
{
	int r = output_open(s);

	if (r >= 0) {
		settle_pipes(s);
		if (!words_fit(s))
			return error_set(err, ERROR_INTERNAL, "the record of slot %u is damaged",
					 s->slot);
		r = input_open(s);
	}
	return r < 0 ? error_set_errno(err, ERROR_INTERNAL, r, "watch the pipes of %s", s->id) : 0;
}

int session_load(struct engine *e, unsigned slot, int fds[N_SLOT_FDS], struct session **ret,
		 struct error *err)
{
	struct session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_set(err, ERROR_EXHAUSTED, "no memory for slot %u", slot);
	s->engine = e;
	s->slot = slot;
	s->words = engine_slot(e, slot);
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		s->fds[i] = take_fd(&fds[i]);
	slot_id(s->words, s->id);
	s->quarantined = word_load(&s->words->quarantined);
	if (s->quarantined) {
		s->card = card_make(s, NULL);
		link_in(s); /* listed by its record alone; the keeper can still end it */
		*ret = s;
		return 0;
	}
	word_hook_slot(slot);
	if (session_is_pty(s)) {
		/* Only the keeper holds a slave; typing goes through a second descriptor of the
		 * master, because libuv watches a descriptor once. */
		if (s->fds[SLOT_FD_SLAVE] >= 0 && output_leader_over(s)) /* and did not say so */
			link_tell(e, LINK_CLOSE, slot, 1U << SLOT_FD_SLAVE);
		s->fds[SLOT_FD_SLAVE] = fd_close(s->fds[SLOT_FD_SLAVE]);
		s->fds[SLOT_FD_IN] = fd_close(s->fds[SLOT_FD_IN]);
		if (s->fds[SLOT_FD_OUT] >= 0)
			s->fds[SLOT_FD_IN] = fcntl(s->fds[SLOT_FD_OUT], F_DUPFD_CLOEXEC, 3);
	}
	r = map_memory(s, err);
	if (r >= 0)
		r = meta_read(s, err);
	if (r >= 0) {
		link_in(s);
		observe_load(s);
		r = open_pipes(s, err);
	}
	if (r < 0) {
		session_discard(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* --- the end
 * ------------------------------------------------------------------------------------------ */

static void maybe_free(struct session *s)
{
	if (s->leaving && s->n_handles == 0)
		free_memory(s);
}

void session_handle_closed(struct session *s)
{
	s->n_handles--;
	maybe_free(s);
}

static void timer_closed(uv_handle_t *handle)
{
	struct session *s = handle->data;

	free(handle);
	session_handle_closed(s);
}

/* While somebody waits for a start, commands that compute do not hold it up. At other times the
 * engine does not interrupt them: at each small write that would cost more than it brings. */
void session_set_starting(struct session *s, bool on)
{
	struct engine *e = s->engine;

	if (s->pending_spawn == on)
		return;
	s->pending_spawn = on;
	e->spawns += on ? 1 : -1U;
	if (on && e->spawns == 1)
		e->in_a_hurry = slice_shorten();
	if (e->in_a_hurry && e->spawns == 0) {
		slice_restore();
		e->in_a_hurry = false;
	}
}

void session_discard(struct session *s)
{
	link_out(s);
	session_set_starting(s, false);
	launch_done(s);
	budget_forget(s);
	output_close(s);
	input_shut(s);
	owner_done(s);
	observe_discard(s);
	if (s->timer)
		uv_close((uv_handle_t *)take(s->timer), timer_closed);
	if (s->lease)
		uv_close((uv_handle_t *)take(s->lease), timer_closed);
	s->leaving = true;
	maybe_free(s);
}

void session_hold(struct session *s)
{
	s->busy++;
}

void session_let_go(struct session *s)
{
	if (--s->busy == 0 && s->remove_wanted)
		session_remove(s);
}

void session_remove(struct session *s)
{
	struct engine *e = s->engine;
	struct control_slot *w = s->words;
	uint32_t leaf = (uint32_t)word_load(&w->cgroup);
	unsigned slot = s->slot;

	s->remove_wanted = true;
	if (s->busy > 0)
		return;
	word_store(&w->state, SLOT_LEAVING);
	while (s->listeners)
		call_gone(s->listeners);
	session_discard(s);
	slot_give_back(e, slot);
	cgroups_drop(e, leaf);
}

void slot_give_back(struct engine *e, unsigned slot)
{
	link_tell(e, LINK_RELEASE, slot, 0);
	roster_clear(e, slot);
	word_store(&engine_slot(e, slot)->state, SLOT_FREE);
	e->free_hint = MIN(e->free_hint, slot - 1);
}

/* --- changes
 * ------------------------------------------------------------------------------------------ */

static void drop_block(struct session *s)
{
	/* Nobody holds the ring back for ever: see attachment.c for the lease. */
	if (!s->controller && word_load(&s->words->attach_mode) == 2)
		attachment_lease_check(s);
}

static void update_ended(struct session *s)
{
	if (session_tree_alive(s) || !session_ended(s))
		return;
	observe_over(s);
	housekeeping_soon(s->engine);
	if (!s->struck_off)
		roster_clear(s->engine, s->slot);
	s->struck_off = true;
	if (word_load(&s->words->cgroup)) {
		cgroups_drop(s->engine, (uint32_t)word_load(&s->words->cgroup));
		word_store(&s->words->cgroup, 0);
	}
	engine_check_quit(s->engine);
}

void session_publish_exit(struct session *s)
{
	if (session_exited(s))
		return;
	session_note_leftovers(s);
	observe_exited(s);
	session_note_oom(s);
	word_store(&s->words->ended_at, clock_realtime_ms());
	word_store(&s->words->exit_seen, 1);
	input_end(s);
	owner_done(s);
	session_check_leftovers(s);
	session_end_children(s);
	housekeeping_soon(s->engine);
	update_ended(s); /* the keeper may have said all it has to say before the last byte came */
	session_notify(s);
}

static void spawn_settled(struct session *s)
{
	if (!s->pending_spawn)
		return;
	session_set_starting(s, false);
	launch_done(s);
	if (session_failed(s)) {
		word_store(&s->words->ended_at, clock_realtime_ms());
		word_store(&s->words->tree_gone, 1);
		output_end(s);
		input_end(s);
	} else {
		session_arm_timeout(s);
	}
}

void session_update(struct session *s, bool settled)
{
	uint64_t spawn = word_load(&s->words->spawn);

	s->settled |= settled;
	if (launch_again(s))
		return;
	session_hold(s);
	if (spawn == SPAWN_GATED)
		link_tell(s->engine, LINK_OPEN_GATE, s->slot, observe_gated(s) ? 0 : ENOTCONN);
	if (spawn == SPAWN_STARTED)
		observe_started(s);
	if (spawn == SPAWN_STARTED || spawn == SPAWN_FAILED)
		spawn_settled(s);
	if (spawn == SPAWN_STARTED && s->settled && word_load(&s->words->exit.ready)) {
		if (s->fds[SLOT_FD_PID] >= 0)
			s->fds[SLOT_FD_PID] = fd_close(s->fds[SLOT_FD_PID]);
		drop_block(s);
		if (session_exited(s))
			session_check_leftovers(s);
		else
			output_check_exit(s);
	}
	update_ended(s);
	session_notify(s);
	session_let_go(s);
}
