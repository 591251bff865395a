/* SPDX-License-Identifier: Apache-2.0 */
/* observe_session.c - one session that is observed. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "engine/budget.h"
#include "engine/observe_private.h"
#include "observe/seccomp_notify.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- events ---------------------------------------------------------------------------------- */

void observe_taken(struct observed *o)
{
	bool full = events_full(&o->memory, o->paused);

	if (!o->observation || o->paused == full)
		return;
	o->paused = full;
	observation_pause(o->observation, full);
}

static void end_observation(struct observed *o)
{
	o->observation = observation_stop(o->observation);
	o->paused = false;
}

/* Keeps the budget of all rings true. */
static void count_memory(struct observed *o)
{
	uint64_t before = o->counted;

	o->counted = events_used(&o->memory);
	budget_add(o->session->engine, o->counted - before);
}

void observe_give_up(struct session *s)
{
	struct observed *o = s->observed;

	if (!o || o->counted == 0)
		return;
	if (events_give_up(&o->memory, s->fds[SLOT_FD_EVENTS]) < 0)
		log_warn("%s: the memory of its events cannot be given back", s->id);
	s->engine->retained -= o->counted;
	o->counted = 0;
	observe_news(o);
}

static bool told(const struct observed *o, enum events_told what)
{
	return (events_state(&o->memory)->told & what) != 0;
}

static void note(struct observed *o, enum note_what what, uint64_t at)
{
	struct session *s = o->session;
	struct backend_note n = {
		.what = what,
		.pid = slot_pid(s->words),
		.exit_code = what == NOTE_EXITED ? session_exitinfo(s).code : 0,
		.timestamp_ms = at,
	};

	if (o->observation)
		observation_note(o->observation, &n);
}

static void note_told(struct observed *o, enum events_told what)
{
	struct events_state *state;

	if (told(o, what))
		return;
	state = events_change(&o->memory);
	state->told |= what;
	events_commit(&o->memory);
}

/* `at`: when, unless the keeper has said so. */
static void tell_start(struct observed *o, uint64_t at)
{
	uint64_t started = word_load(&o->session->words->started);

	note(o, NOTE_STARTED, started != 0 ? started : at);
	note_told(o, TOLD_STARTED);
}

/* By this the command is known to run, though the keeper's word of it may not have come. */
static bool proves_start(const struct observed *o, const struct reeve_event *e)
{
	return session_started(o->session) ||
	       (e->kind == REEVE_EXECUTED && e->result >= 0 &&
		(e->fields & REEVE_HAS_CLAIMED) == 0 && e->pid == slot_pid(o->session->words));
}

static void on_event(void *userdata, struct reeve_event *e, const struct backend_origin *origin)
{
	struct observed *o = userdata;
	uint32_t told_now = 0;

	if (e->category == REEVE_LIFECYCLE)
		told_now = e->kind == REEVE_STARTED ? TOLD_STARTED : TOLD_EXITED;
	else if (o->observation && !told(o, TOLD_STARTED) && proves_start(o, e))
		tell_start(o, e->timestamp_ms); /* what it does comes behind that */
	events_put(&o->memory, e, origin, told_now);
	count_memory(o);
	observe_taken(o);
	observe_news(o);
}

static void on_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	struct observed *o = userdata;

	if (n == 0)
		return;
	events_missed(&o->memory, category, n);
	observe_news(o);
}

/* --- the observation ------------------------------------------------------------------------- */

static struct backend_target target_of(const struct observed *o, bool gated, bool resume)
{
	const struct session *s = o->session;
	const struct control_slot *w = s->words;
	const struct events_state *state = events_state(&o->memory);
	struct backend_target t = {
		.session = (uint32_t)word_load(&w->handle),
		.leader = slot_pid(w),
		.gated = gated,
		.cgroup_leaf = (uint32_t)word_load(&w->cgroup),
		.mark = word_load(&w->mark),
		.detail = (enum backend_detail)state->detail,
		.resume = resume,
		.prepared = word_load(&w->filter) == 1,
		.listener = s->lost_listener ? -EMFILE : MAX(s->fds[SLOT_FD_LISTENER], 0),
		.pending = o->memory.header->pending,
	};

	memcpy(t.after, state->after, sizeof(t.after));
	return t;
}

/* What lies between the death of one engine and the start of the next is known only to those
 * backends that hold something in the keeper; for the others it is a gap, and said to be one. So is
 * what the keeper let pass. */
static void mark_gap(struct observed *o, const struct choice *choices)
{
	uint64_t passed = word_load(&o->session->words->passed);
	bool let_pass = passed != events_state(&o->memory)->passed;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const struct backend *b = choices[c].backend;

		if (b && choices[c].support != REEVE_UNAVAILABLE &&
		    (!b->durable || (let_pass && b->prepare)))
			events_missed(&o->memory, (enum reeve_category)c, 1);
	}
	if (!let_pass)
		return;
	events_change(&o->memory)->passed = passed;
	events_commit(&o->memory);
}

/* Better the lifecycle alone than nothing; the others say why. */
static void start_lifecycle(struct observed *o, struct observation_config *config,
			    const struct error *why)
{
	log_warn("%s: %s", o->session->id, why->message);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		struct events_choice *to = &o->memory.header->choices[c];

		if (!config->choices[c].backend ||
		    config->choices[c].backend == &backend_portable_lifecycle)
			continue;
		config->choices[c].backend = NULL;
		to->support = REEVE_UNAVAILABLE;
		(void)snprintf(to->reason, sizeof(to->reason), "%s", why->message);
	}
	(void)observation_start(&o->observation, config, NULL);
}

/* Starts what is wanted. False when a backend did not start. */
static bool start(struct observed *o, bool gated, bool resume)
{
	struct session *s = o->session;
	const struct events_state *state = events_state(&o->memory);
	struct observation_config config = {
		.target = target_of(o, gated, resume),
		.sink = { on_event, on_missed, o },
	};
	struct error err = { 0 };
	int r;

	if (o->observation || state->over)
		return true;
	r = observe_host(s->engine, &config.host, &err);
	if (!config.target.prepared)
		observe_step_down(s->engine, &o->memory);
	observe_choices(&o->memory, state->running & events_wanted(&o->memory), config.choices);
	if (resume)
		mark_gap(o, config.choices);
	memcpy(config.seq, events_state(&o->memory)->seq, sizeof(config.seq));
	if (r >= 0)
		r = observation_start(&o->observation, &config, &err);
	if (r < 0) {
		o->refused = config.target.prepared;
		start_lifecycle(o, &config, &err);
	}
	observe_taken(o);
	return r >= 0;
}

bool observe_gated(struct session *s)
{
	struct observed *o = s->observed;

	if (!o)
		return true;
	(void)start(o, true, false);
	return !o->refused; /* nobody would answer its calls: better it does not run at all */
}

const char *observe_refusal(const struct session *s)
{
	const struct events_memory *m = s->observed ? &s->observed->memory : NULL;

	for (unsigned c = 0; m && word_load(&s->words->filter) == 1 && c < REEVE_CATEGORIES; c++) {
		const struct events_choice *choice = &m->header->choices[c];
		const struct backend *b = backend_find(choice->backend);

		if (b && b->prepare && choice->support == REEVE_UNAVAILABLE)
			return choice->reason;
	}
	return NULL;
}

void observe_started(struct session *s)
{
	struct observed *o = s->observed;

	if (!o || told(o, TOLD_STARTED))
		return;
	start(o, false, false);
	tell_start(o, 0);
}

void observe_exited(struct session *s)
{
	struct observed *o = s->observed;

	if (!o || told(o, TOLD_EXITED))
		return;
	observe_started(s);
	if (o->observation)
		observation_flush(o->observation);
	note(o, NOTE_EXITED, word_load(&s->words->exit.at));
	note_told(o, TOLD_EXITED);
}

void observe_over(struct session *s)
{
	struct observed *o = s->observed;
	struct events_state *state;

	if (!o || events_state(&o->memory)->over)
		return;
	if (o->observation)
		observation_flush(o->observation);
	end_observation(o);
	state = events_change(&o->memory);
	state->over = 1;
	events_commit(&o->memory);
	observe_news(o);
}

void observe_continue(struct session *s)
{
	struct observed *o = s->observed;
	uint64_t spawn = word_load(&s->words->spawn);

	if (events_wanted(&o->memory) == 0) {
		if (s->fds[SLOT_FD_LISTENER] >= 0)
			(void)seccomp_notify_drain(s->engine->observatory->host,
						   s->fds[SLOT_FD_LISTENER],
						   o->memory.header->pending);
		return;
	}
	if (spawn == SPAWN_STARTED || (spawn == SPAWN_GATED && slot_pid(s->words) > 0))
		start(o, false, true);
}

/* --- the object ------------------------------------------------------------------------------ */

static int attach(struct session *s, const struct events_memory *m)
{
	struct observatory *ob = observatory_of(s->engine);
	struct observed *o = ob ? calloc(1, sizeof(*o)) : NULL;

	if (!o)
		return -ENOMEM;
	o->session = s;
	o->memory = *m;
	o->next = ob->sessions;
	o->back = &ob->sessions;
	if (o->next)
		o->next->back = &o->next;
	ob->sessions = o;
	s->observed = o;
	count_memory(o);
	return 0;
}

void observe_load(struct session *s)
{
	struct events_memory m = { 0 };
	int r;

	if (s->fds[SLOT_FD_EVENTS] < 0)
		return;
	r = events_map(&m, s->fds[SLOT_FD_EVENTS]);
	if (r >= 0)
		r = attach(s, &m);
	if (r >= 0)
		return;
	log_error("%s: its events are lost: %s", s->id, strerror(-r));
	events_unmap(&m);
	s->fds[SLOT_FD_EVENTS] = fd_close(s->fds[SLOT_FD_EVENTS]);
}

void observe_discard(struct session *s)
{
	struct observed *o = s->observed;

	if (!o)
		return;
	s->observed = NULL;
	while (o->readers) {
		struct observe_reader *r = o->readers;

		observe_unread(r);
		r->ended(r);
	}
	end_observation(o);
	observe_no_news(o);
	s->engine->retained -= o->counted;
	if (s->fds[SLOT_FD_LISTENER] >= 0 && s->engine->observatory->host)
		seccomp_notify_let_go(s->engine->observatory->host, o->memory.header->pending);
	events_unmap(&o->memory);
	*o->back = o->next;
	if (o->next)
		o->next->back = o->back;
	free(o);
}

/* --- subscribers ----------------------------------------------------------------------------- */

static int make_memory(struct session *s, const struct observe_request *rq, struct error *err)
{
	struct link_message hold = { .type = LINK_HOLD,
				     .slot = s->slot,
				     .fds = 1U << SLOT_FD_EVENTS };
	struct events_memory m = { 0 };
	int table[N_LINK_FDS], fd, r = events_make(&m, observe_room(rq), &fd);

	if (r < 0)
		return error_set_errno(err, ERROR_EXHAUSTED, r, "memory for events");
	r = attach(s, &m);
	if (r < 0) {
		events_unmap(&m);
		fd_close(fd);
		return error_set_errno(err, ERROR_EXHAUSTED, r, "observe");
	}
	s->fds[SLOT_FD_EVENTS] = fd;
	table[SLOT_FD_EVENTS] = fd;
	link_tell_fds(s->engine, &hold, table);
	/* What has happened already is not told. */
	if (session_started(s))
		note_told(s->observed, TOLD_STARTED);
	if (session_exited(s))
		note_told(s->observed, TOLD_EXITED);
	return 0;
}

/* A category has one backend in a session. */
static int check_backends(const struct observed *o, const struct observe_request *rq,
			  struct error *err)
{
	const struct events_state *state = events_state(&o->memory);
	unsigned observed = state->running & events_wanted(&o->memory);

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const char *now = o->memory.header->choices[c].backend;

		if (!rq->forced[c] || (observed & category_bit((enum reeve_category)c)) == 0 ||
		    strcmp(rq->forced[c], now) == 0)
			continue;
		return error_set(err, ERROR_WRONG_STATE,
				 "%s: %s is observed by %s already; that cannot be changed while "
				 "somebody subscribes to it",
				 o->session->id, reeve_category_name((enum reeve_category)c),
				 now[0] ? now : "none");
	}
	return 0;
}

/* What is wanted in all has changed. */
static void rearrange(struct observed *o, unsigned before)
{
	struct session *s = o->session;
	unsigned now = events_wanted(&o->memory);
	struct choice choices[REEVE_CATEGORIES];
	struct events_state *state;
	enum backend_detail detail;
	struct error err = { 0 };

	if (now == before)
		return;
	if ((before & ~now) != 0) {
		state = events_change(&o->memory);
		state->running &= now;
		events_commit(&o->memory);
	}
	if (!o->observation) {
		if (session_started(s))
			start(o, false, false);
		return;
	}
	observe_choices(&o->memory, now, choices);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		if ((now & ~before & category_bit((enum reeve_category)c)) != 0)
			observation_choose(o->observation, (enum reeve_category)c, &choices[c]);
	detail = (enum backend_detail)events_state(&o->memory)->detail;
	if (observation_change(o->observation, now, detail, &err) < 0)
		log_warn("%s: %s", s->id, err.message);
	if (o->paused) /* what was started anew does not know */
		observation_pause(o->observation, true);
}

int observe_subscribe(struct session *s, const struct observe_request *rq, uint64_t *ret_number,
		      struct error *err)
{
	bool made = !s->observed;
	unsigned before;
	int r = made ? make_memory(s, rq, err) : check_backends(s->observed, rq, err);
	struct observed *o = s->observed;

	if (r < 0)
		return r;
	before = events_wanted(&o->memory);
	observe_note_choices(&o->memory, rq);
	r = events_subscribe(&o->memory, &rq->config, rq->capacity, rq->block);
	if (r < 0)
		return error_set(err, ERROR_EXHAUSTED,
				 "%s has %u subscribers already; end one of them first", s->id,
				 EVENTS_SUBSCRIBERS_MAX);
	*ret_number = events_state(&o->memory)->subscribers[r].number;
	rearrange(o, before);
	if (session_ended(s) && !session_tree_alive(s))
		observe_over(s);
	return 0;
}

void observe_unsubscribe(struct session *s, unsigned place)
{
	struct observed *o = s->observed;
	unsigned before = events_wanted(&o->memory);

	observe_end_reader(o, events_state(&o->memory)->subscribers[place].number);
	events_unsubscribe(&o->memory, place);
	observe_taken(o);
	if (events_wanted(&o->memory) != 0) {
		rearrange(o, before);
		return;
	}
	if (s->fds[SLOT_FD_LISTENER] >= 0) {
		/* Calls are still let pass, with this memory, until its last process has ended. */
		end_observation(o);
		return;
	}
	observe_discard(s);
	link_tell(s->engine, LINK_CLOSE, s->slot, 1U << SLOT_FD_EVENTS);
	s->fds[SLOT_FD_EVENTS] = fd_close(s->fds[SLOT_FD_EVENTS]);
}
