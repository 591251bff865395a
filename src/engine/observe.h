/* SPDX-License-Identifier: Apache-2.0 */
/* observe.h - sessions that are observed, and by whom.
 *
 * Nothing of this costs anything until somebody subscribes to a session: then its event memory is
 * made (observe_memory.h), and a backend is started for the categories that its subscribers want in
 * all. Several subscribers share one. */
#pragma once
#include "engine/observe_memory.h"
#include "engine/session.h"

struct observed {
	struct session *session;
	struct observed *next, **back; /* all of the engine */
	struct events_memory memory;
	struct observation *observation; /* NULL: none runs */
	struct observe_reader *readers;
	uint64_t counted; /* bytes of events in the daemon's budget, budget.h */
	bool paused;      /* processes are made to wait for a subscriber that blocks */
	struct observed *news_next, **news_back; /* readers are to be told; NULL: they are not */
	bool refused; /* its calls would wait for an observer that could not be started */
};

/* Somebody who reads a subscription's events: one at a time, a new one ends the one before. */
struct observe_reader {
	struct observe_reader *next, **back;
	uint64_t number;                         /* of the subscriber */
	void (*news)(struct observe_reader *r);  /* events, or the end of them */
	void (*ended)(struct observe_reader *r); /* another reads, or the subscription was ended;
						    it is off the list */
};

/* What a subscriber asks for, and what it gets. */
struct observe_request {
	struct reeve_observer_config config;
	uint32_t capacity;
	bool block;
	enum backend_detail detail;
	const char *forced[REEVE_CATEGORIES];    /* backends by name; NULL: the best */
	struct choice choices[REEVE_CATEGORIES]; /* filled in by observe_choose() */
};

/* --- observe_probe.c: what can be observed here ------------------------------------------------
 */

/* Waits for backends to have been tried out, which a worker does. */
struct observe_wait {
	struct observe_wait *next, **back;
	enum reeve_scope scope;
	bool all; /* those too that stand behind a better one */
	void (*ready)(struct observe_wait *w, int result);
};

/* Returns 1 when it is known already; else 0, and `ready` is called later from the loop, with a
 * negative errno when it cannot be found out. -ENOMEM. */
int observe_wait(struct engine *e, struct observe_wait *w);
void observe_unwait(struct observe_wait *w);
/* Forgets what was found, so that it is tried again. -EBUSY while it is being tried. */
int observe_forget(struct engine *e);
/* After observe_wait(): negotiate() with what is known. */
int observe_negotiate(struct engine *e, enum reeve_scope scope, unsigned categories,
		      const char *const forced[REEVE_CATEGORIES],
		      struct choice ret[REEVE_CATEGORIES], struct error *err);

/* --- observe_host.c: what all sessions share ---------------------------------------------------
 */

/* The host of the backends, made when first needed. */
int observe_host(struct engine *e, struct host **ret, struct error *err);
/* A descriptor of the daemon's own that a new keeper asks for; -1 for none. */
int observe_kept(const struct engine *e, uint64_t place);
/* observe_lender.c: LINK_LENT, and what to do where the keeper may have missed a LINK_BORROW. `fd`
 * is taken over. */
void observe_lent(struct engine *e, uint32_t ticket, int fd);
void observe_ask_again(struct engine *e);
/* All slots are loaded: goes on with what an engine before had begun. */
int observe_resume(struct engine *e, struct error *err);
/* Has readers told soon (observe_news.c): in turn, where those of many sessions are to be. */
void observe_news(struct observed *o);

/* --- observe_session.c: one session ------------------------------------------------------------
 */

/* Takes up what is in the session's event memory, if there is one. */
void observe_load(struct session *s);
/* Its child waits at the gate, runs, has exited; all processes have ended; the object goes. False
 * at the gate: it is prepared for an observer that could not be started, and must not run. */
bool observe_gated(struct session *s);
void observe_started(struct session *s);
void observe_exited(struct session *s);
void observe_over(struct session *s);
void observe_discard(struct session *s);
/* Gives the memory of its events back, and their bytes to the budget. */
void observe_give_up(struct session *s);
/* Why it was not let through the gate; NULL: for no reason of ours. */
const char *observe_refusal(const struct session *s);
/* Goes on after an engine that died; then the others' events are over. */
void observe_continue(struct session *s);

/* Adds a subscriber; `*ret_number` names it within the session. ERROR_EXHAUSTED,
 * ERROR_WRONG_STATE when a category is observed by another backend than is asked for. */
int observe_subscribe(struct session *s, const struct observe_request *rq, uint64_t *ret_number,
		      struct error *err);
/* The last one ends the observation and gives its memory back. */
void observe_unsubscribe(struct session *s, unsigned place);

void observe_read(struct observed *o, struct observe_reader *r);
void observe_unread(struct observe_reader *r);
/* Ends whoever reads that subscription. */
void observe_end_reader(struct observed *o, uint64_t number);
/* Events were taken, or will never be: processes that wait may go on. */
void observe_taken(struct observed *o);
/* Whether somebody reads a subscription. */
bool observe_is_read(const struct observed *o, uint64_t number);

/* --- observe_request.c: choosing ---------------------------------------------------------------
 */

/* Fills in the choices for the categories of the request; `prepared`: the command has not begun. A
 * backend that was named and does not work here is ERROR_INVALID_ARGUMENT, with the reason; so is
 * `block` where the backend cannot wait. */
int observe_choose(struct engine *e, struct observe_request *rq, bool prepared, struct error *err);
/* Whether observe_wait() must have been called before. */
bool observe_wants_probe(const struct observe_request *rq);
/* Whether the command is to be held at the gate until the observation runs. */
bool observe_wants_gate(const struct observe_request *rq);
/* Event memory with this request as its first subscriber, for a session that is being made. */
int observe_make(const struct observe_request *rq, int *ret_fd, struct error *err);
/* Events to make room for. */
uint32_t observe_room(const struct observe_request *rq);
/* Notes in the memory who serves the categories, as far as they are not served yet. */
void observe_note_choices(struct events_memory *m, const struct observe_request *rq);
/* The command was not prepared for those that wait for its calls: others observe instead. */
void observe_step_down(struct engine *e, struct events_memory *m);
/* The choices as they stand in the memory. */
void observe_choices(const struct events_memory *m, unsigned set,
		     struct choice ret[REEVE_CATEGORIES]);
