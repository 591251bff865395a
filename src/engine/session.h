/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - one session as the engine sees it: a slot, its memory mapped, its readers. */
#pragma once
#include "core/exitinfo.h"
#include "core/index.h"
#include "core/layout.h"
#include "engine/engine.h"
#include <jansson.h>

#define SESSION_ID_MAX   SLOT_ID_MAX
#define SESSION_NAME_MAX 64

enum session_stream {
	STREAM_OUT, /* stdout, or all of a pty */
	STREAM_ERR,
};

/* Values of the attach frames and names of the JSON. */
enum cause {
	CAUSE_EXIT = 1,
	CAUSE_SIGNAL,
	CAUSE_STOP,
	CAUSE_TIMEOUT,
	CAUSE_OOM,
	CAUSE_OWNER_GONE,
	CAUSE_REBOOT,
	CAUSE_LOST,
	CAUSE_LEFTOVERS, /* only in a stop request: the command ended, its descendants are ended */
};

enum outcome {
	OUTCOME_NATURAL = 1,
	OUTCOME_SOFT,
	OUTCOME_HARD,
};

enum leftovers {
	LEFTOVERS_KILL,
	LEFTOVERS_KEEP,
	LEFTOVERS_FAIL,
};

/* Something that waits for news of a session. Embedded in its owner; called on the loop's thread,
 * and may remove itself (or others) while being called. */
struct listener {
	struct listener *next, **back;
	void (*output)(struct listener *l,
		       unsigned stream);     /* bytes or the end of a stream; may be NULL */
	void (*changed)(struct listener *l); /* state, exit, tree, input; may be NULL */
	void (*gone)(struct listener *l);    /* the session is being removed */
	bool hands_on;                       /* output goes to another process */
};

struct stream {
	struct capture_stream capture;
	uv_poll_t poll;
	bool open;    /* the read end is held */
	bool polling; /* false while a block cursor holds the writer back */
	bool large;   /* the last step took much */
};

struct session {
	struct engine *engine;
	struct session *newer, *older;
	struct session *next_by_id, *next_by_key, *next_by_name; /* lookup.c */
	unsigned slot;
	struct control_slot *words;
	char id[SESSION_ID_MAX];
	char *name;
	char *summary;
	struct stop_plan *plan; /* NULL: the default */
	char **labels;          /* `key=value`, NULL-terminated, or NULL */
	char *originator;
	char *card; /* the members of its JSON that never change, card.h */
	enum leftovers leftovers;
	bool quarantined;
	bool settled; /* the keeper has looked at what the leader left behind, if that has ended */
	int fds[N_SLOT_FDS];
	bool lost_listener; /* there was no room for that descriptor when it came */
	void *map;
	struct layout layout;
	struct index index;
	struct stream streams[STREAMS_MAX];
	struct ring in;
	uv_poll_t in_poll;
	bool in_open, in_polling;
	bool pending_spawn;
	struct launch *launch; /* launch.h; NULL once its process was made */
	unsigned n_handles;    /* libuv handles that are still to be closed */
	bool leaving;
	bool struck_off;    /* the roster, which needs not be told again */
	bool remove_wanted; /* once nobody is busy with it */
	unsigned busy;
	struct attachment *controller; /* the attached controlling client; NULL */
	struct listener *listeners;
	struct observed *observed; /* observe.h; NULL: nobody observes it */
	uint64_t screen_since;     /* screen.c: loop time of the record that counts */
	bool screen_busy;          /* a worker makes the next */
	unsigned screen_faults;    /* drawers that its last drawings have ended, one by one */
	uint64_t screen_fault_at;  /* the end of what the last of them was given */
	uint64_t typing_at; /* typing.c: monotonic ms of the keeper's last answer, 0 for none */
	int typing_answer;
	uint64_t typing_cost;              /* processor time of it, us */
	bool typed;                        /* input.c: something was, since this engine began: */
	uint64_t typed_from;               /* stdin from here on, */
	uint64_t typed_after[STREAMS_MAX]; /* when so much had been written */
	uv_timer_t *timer;                 /* --timeout; NULL for none */
	struct owner_watch *client, *tied; /* owner.c; NULL for none */
	uv_timer_t *lease;                 /* of a lost block cursor; NULL for none */
};

/* --- session.c: life
 * ------------------------------------------------------------------------------ */

/* Makes the object for a slot whose record and memory are complete. Takes over `fds` (also on
 * failure). -EINVAL with a reason when the record cannot be trusted. */
int session_load(struct engine *e, unsigned slot, int fds[N_SLOT_FDS], struct session **ret,
		 struct error *err);
/* Takes it out of all lists; descriptors, memory and slot are given back once libuv lets go. While
 * somebody holds it, this happens when the last one lets go. */
void session_remove(struct session *s);
void session_hold(struct session *s);
void session_let_go(struct session *s);
/* Whether its command is at the keeper to be started, `pending_spawn`. */
void session_set_starting(struct session *s, bool on);
/* Lets go of the object only; slot and keeper keep what they have. */
void session_discard(struct session *s);
/* The keeper forgets the slot; its record is free for another. */
void slot_give_back(struct engine *e, unsigned slot);
/* The words have changed. `settled`: the keeper says that it has looked at what the ended leader
 * left behind, or cannot be known to say so any more. */
void session_update(struct session *s, bool settled);
void session_listen(struct session *s, struct listener *l);
void session_unlisten(struct listener *l);
/* Calls `changed` of all listeners. */
void session_notify(struct session *s);
/* One of the session's libuv handles has closed. */
void session_handle_closed(struct session *s);
/* The leader's last byte is captured: from now on the exit is known to everybody. */
void session_publish_exit(struct session *s);

/* --- lookup.c
 * ------------------------------------------------------------------------------------- */

/* From here on it is found, until it is removed again; its id and name stay as they are. */
void lookup_add(struct session *s);
void lookup_remove(struct session *s);
/* Where names are told apart by a number: the last that was given behind `base`, or behind another
 * that hashes alike. Only a place to go on from. */
unsigned *lookup_last_number(struct engine *e, const char *base);
/* By exact id, handle, live name, newest ended name, unambiguous id prefix, in this order. */
int session_find(struct engine *e, const char *key, struct session **ret, struct error *err);
/* A live session of that name; NULL. */
struct session *session_by_name(struct engine *e, const char *name);
struct session *session_by_key(struct engine *e, const uint64_t hash[2]);

static inline bool session_is_pty(const struct session *s)
{
	return word_load(&s->words->kind) == KIND_PTY;
}

/* --- state.c: what the words mean
 * ------------------------------------------------------------------- */

bool session_started(const struct session *s);
bool session_failed(const struct session *s);
/* The exit has been published: after the leader's last byte. */
bool session_exited(const struct session *s);
/* Spawn failed, or exited. */
bool session_ended(const struct session *s);
bool session_tree_alive(const struct session *s);
/* Nothing of it runs any more, and its end is published, or is held up by nothing but a client that
 * does not read. */
bool session_is_done(const struct session *s);
bool session_stopping(const struct session *s);
struct exitinfo session_exitinfo(const struct session *s);
enum outcome session_outcome(const struct session *s);
enum cause session_cause(const struct session *s);
/* "running" and so on. */
const char *session_status(const struct session *s);

/* --- output.c
 * --------------------------------------------------------------------------------------- */

int output_open(struct session *s);
/* Stops capturing; descriptors stay as they are. */
void output_close(struct session *s);
/* Nothing was written, and nothing will be: all streams end where they are. */
void output_end(struct session *s);
/* How many bytes may be captured now without passing a block cursor; UINT64_MAX without one. */
uint64_t output_room(const struct session *s, unsigned stream);
/* Whether a block cursor that does not move keeps output from being taken. */
bool output_is_held(const struct session *s);
/* A block cursor has moved, or is gone: captures again if it may. */
void output_resume(struct session *s);
/* A client has something to say: whoever writes much is captured in small steps for a while. */
void output_give_way(struct engine *e);
/* The leader has ended: notes where its own output ends, publishes the exit once that is captured.
 */
void output_check_exit(struct session *s);
/* Whether all that the leader wrote to its terminal is known to be in the ring: then the keeper's
 * slave has to go, so that the stream can end. */
bool output_leader_over(const struct session *s);
bool output_stream_exists(const struct session *s, unsigned stream);

/* --- input.c
 * ---------------------------------------------------------------------------------------- */

int input_open(struct session *s);
/* Stops feeding; the descriptor stays as it is. */
void input_shut(struct session *s);
/* Nobody reads any more: stdin is closed, whatever is left of it. Tells no listener. */
void input_end(struct session *s);
/* Takes bytes that belong at stdin offset `at` (UINT64_MAX: at the end); what was taken before is
 * skipped. `*ret_accepted` is the offset behind the last byte taken: less than offered when the
 * ring is full. ERROR_STDIN_CLOSED, ERROR_WRONG_OFFSET for a gap. */
int input_take(struct session *s, uint64_t at, const void *data, size_t n, uint64_t *ret_accepted,
	       struct error *err);
/* End of input behind what was taken. Idempotent. */
void input_close(struct session *s);
/* Gives the child what it will take. */
void input_pump(struct session *s);

/* --- stop.c
 * ----------------------------------------------------------------------------------------- */

struct stop_plan;
/* Asks for the end of the tree. A request that is under way is replaced only by a quicker plan. */
void session_stop(struct session *s, const struct stop_plan *plan, enum cause cause);
void session_plan(const struct session *s, struct stop_plan *ret);
/* Why it is about to be stopped, at most STOP_REASON_MAX bytes; the first that is given counts. */
void session_note_reason(struct session *s, const char *reason);
/* Not NUL-terminated; NULL when none was given, or it was not stopped. */
const char *session_reason(const struct session *s, size_t *ret_size);
/* The sessions that were started from inside it end with it. */
void session_end_children(struct session *s);

/* Starts the clock of --timeout. */
void session_arm_timeout(struct session *s);

/* --- signals.c
 * -------------------------------------------------------------------------------------- */

/* Has the keeper send a signal to the leader's process group, once the command runs: whoever dies
 * meanwhile. -EAGAIN while too many wait to be sent. */
int session_signal(struct session *s, int signal);
/* The same for a client that numbers its signals and may say one again: what was taken is passed
 * over. -ERANGE for a gap. */
int session_signal_numbered(struct session *s, int signal, uint64_t number);
/* The number of the last one of those. */
uint32_t session_signals_taken(const struct session *s);
/* Whether the signal is among those last asked for. */
bool session_was_signalled(const struct session *s, int signal);
/* Asks again for what the keeper may not have heard of: signals, and a stop. */
void session_resume(struct session *s);

/* --- leftovers.c
 * ------------------------------------------------------------------------------------- */

/* The command has ended: lists in the session's memory what of its tree still runs. */
void session_note_leftovers(struct session *s);
/* Does with it what the session's `leftovers` says. */
void session_check_leftovers(struct session *s);
/* The list as JSON, a new reference; NULL when nothing was left. */
json_t *session_leftovers(const struct session *s);

/* oom.c: notes whether the kernel has ended the command for want of memory. */
void session_note_oom(struct session *s);

/* --- meta.c: what the session was made from, as JSON in its memory
 * ---------------------------------- */

/* Reads name, summary, plan, labels and so on from the memory into the object. */
int meta_read(struct session *s, struct error *err);
void meta_forget(struct session *s);
/* The whole: a new reference; NULL when it is damaged. */
json_t *meta_load(const struct session *s);
/* Writes the text into a session's memory at `offset`; -EFBIG when it does not fit into `size`. */
int meta_store(int memory, uint64_t offset, uint64_t size, const char *text, size_t n);
