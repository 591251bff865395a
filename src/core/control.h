/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - the control memory: what must survive a crash of the engine.
 *
 * One memfd, held by the keeper and mapped by keeper, spawner and engine. Record 0 is the daemon's
 * own, each further record is one slot: one session. All that changes after a slot was made is a
 * `struct word`, an aligned 64-bit value changed by one store. Whoever reads it after a crash sees
 * each store done or not done, in program order, never half.
 *
 * Every word has one writer at a time: E the engine, K the keeper, C the spawned child before its
 * execve. The rule is "state first, then the effect", and each effect can be repeated, or is
 * confirmed by a count that the kernel keeps. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CONTROL_MAGIC   0x72656576652d6374ULL /* "reeve-ct" */
#define CONTROL_VERSION 1
#define CONTROL_RECORD  2048U /* bytes of one record */
#define CONTROL_SLOTS   8192U /* records, the daemon's own included */
#define CONTROL_SIZE    ((uint64_t)CONTROL_RECORD * CONTROL_SLOTS)

#define SLOT_ID_MAX 40U

#define STREAMS_MAX    2U /* out (stdout or pty) and err */
#define STOP_STEPS_MAX 8U
#define STOP_PLANS     4U
#define SIGNAL_QUEUE   32U /* signals asked for and not sent yet */

struct word {
	_Atomic uint64_t value;
};

/* Test hooks of a build with -Dtorture=true, no-ops otherwise; see control.c. A process says by
 * word_hook_role() which counter it obeys. */
enum word_role {
	ROLE_ENGINE,
	ROLE_KEEPER,
	ROLE_SPAWNER, /* also the child until its execve */
	N_WORD_ROLES,
};
void word_hook(void);
void word_hook_role(void *control_memory, enum word_role own);
void word_hook_slot(unsigned slot);

static inline uint64_t word_load(const struct word *w)
{
	return atomic_load_explicit(&w->value, memory_order_acquire);
}

static inline void word_store(struct word *w, uint64_t value)
{
#ifdef REEVE_TORTURE
	word_hook();
#endif
	atomic_store_explicit(&w->value, value, memory_order_release);
#ifdef REEVE_TORTURE
	word_hook();
#endif
}

/* What the transfer pipe (child's output -> ring) or the feed pipe (ring -> child's input) is
 * doing. Capture: IDLE -> MOVING -> COPYING -> IDLE; without the transfer pipe, READING stands for
 * MOVING. Feed: IDLE -> FILLING -> DRAINING -> IDLE. */
enum pipe_phase {
	PHASE_IDLE,
	PHASE_MOVING,
	PHASE_COPYING,
	PHASE_FILLING,
	PHASE_DRAINING,
	PHASE_READING,
};

/* Where in the memory of the ring of reads (uring_read.h) the kernel has what: offsets in bytes. */
struct control_reads {
	struct word size;                                     /* K: of that memory */
	struct word sq_head, sq_tail, cq_head, cq_tail, cqes; /* K */
};

struct control_daemon {
	struct word magic;       /* K */
	struct word version;     /* K */
	struct word slots;       /* K: number of records */
	struct word epoch;       /* K: realtime ms when this memory was made */
	struct word keeper_pid;  /* K */
	struct word engine_pid;  /* K: 0 while none runs */
	struct word loading;     /* K: slot being handed to an engine, 0 for none */
	struct word parked;      /* K: 1 while no engine is wanted (stop --sessions keep) */
	struct word counter;     /* E: last counter used in an id */
	struct word handle;      /* E: last handle given */
	struct word move_phase;  /* E: transfer pipe */
	struct word move_where;  /* E: slot * STREAMS_MAX + stream */
	struct word move_target; /* E: head after the copy */
	struct word feed_phase;  /* E: feed pipe */
	struct word feed_slot;   /* E */
	struct word feed_upto;   /* E: stdin offset behind the last byte put into the feed pipe */
	struct word cgroup_next; /* E: last cgroup leaf number used */
	struct word stopping;    /* E: the daemon is to stop: 1 end the sessions, 2 keep them */
	struct word seq;         /* E: last registry event number */
	struct word nofile_soft; /* K: the soft RLIMIT_NOFILE before the daemon raised its own */
	struct word started;     /* K: realtime ms when the daemon was started */
	struct word settled;     /* E: 1 after the sessions of a daemon before were dealt with */
	struct word spawner_pid; /* K */
	struct word socket_ino;  /* K: inode of the API's socket, in its directory */
	struct control_reads reads;
#ifdef REEVE_TORTURE
	struct word
		torture[N_WORD_ROLES]; /* passages until such a process is killed; 0: not armed */
	struct word poison; /* the slot that ends each engine that loads it; 0 for none */
#endif
};

enum slot_state {
	SLOT_FREE,
	SLOT_LIVE, /* complete; the keeper was (or is about to be) told: holds or held a process */
	SLOT_LEAVING, /* being removed: keeper and engine close what they hold, then FREE */
};

enum slot_kind {
	KIND_PIPE = 1,
	KIND_PTY,
	KIND_EXTERNAL, /* registered by a program that runs it itself: no fds */
};

enum spawn_state {
	SPAWN_NONE,
	SPAWN_QUEUED,  /* the keeper has the request */
	SPAWN_GATED,   /* child waits at the gate before execve */
	SPAWN_STARTED, /* execve succeeded */
	SPAWN_FAILED,  /* `step` and `fail` say where and why */
};

/* What the child does before it runs the command, in this order; names in spawn.c. */
enum spawn_step {
	STEP_NONE,
	STEP_CLONE,
	STEP_SESSION,
	STEP_CGROUP,
	STEP_TERMINAL,
	STEP_FDS,
	STEP_LIMITS, /* after the descriptors: the caller may allow fewer than setting them up takes
		      */
	STEP_NICE,
	STEP_CHDIR,
	STEP_FILTER,
	STEP_GATE,
	STEP_EXEC,
	N_SPAWN_STEPS,
};

enum slot_flag {
	FLAG_STDIN = 1 << 0,     /* stdin is a pipe */
	FLAG_MERGE = 1 << 1,     /* stderr goes into stdout */
	FLAG_GATE = 1 << 2,      /* wait at the gate */
	FLAG_NO_PARENT = 1 << 3, /* does not end with its parent session */
	FLAG_ENTRY = 1 << 4,     /* installs a filter before it waits at the gate, entry.h */
};

struct control_stream {
	struct word head;  /* E: bytes ever captured */
	struct word ended; /* E: 1 after end of file */
	struct word
		leader_end; /* E: 1 + offset where the leader's own output ends; 0 until known */
	struct word acked;  /* E: consumed by attached controlling clients up to here */
	struct word lost;   /* E: bytes lost to an impossible pipe state, ever */
	struct word floor;  /* E: what is older is gone: given back to save memory, mostly */
	struct word
		lent; /* E: 1: a client reads the ring's memory, and is owed notice, capture.h */
	struct word spare;
};

struct control_plan {
	struct word cause;                 /* E: enum cause of the request */
	struct word n_steps;               /* E */
	struct word steps[STOP_STEPS_MAX]; /* E: signal << 48 | wait in ms after it */
};

struct control_stop {
	struct word requested; /* E: 0 none, else the request's number; a higher one replaces the
				  plan */
	struct control_plan plans[STOP_PLANS]; /* see control_plan(); written before `requested` */
	struct word begun;                     /* K: the number of the request being carried out */
	struct word step;        /* K: steps whose signal was marked as sent; set before sending */
	struct word deadline;    /* K: CLOCK_BOOTTIME ms of the next step */
	struct word signalled;   /* K: set of enum stop_mark */
	struct word finished;    /* K: the request whose plan was carried out to its end */
	struct word refused;     /* K: members that could not be signalled: another user's */
	struct word refused_pid; /* K: one of them */
	struct word spare[2];
};

enum stop_mark {
	MARK_LEADER_WAS_ALIVE =
		1 << 0,        /* the leader had not exited when the first signal was due */
	MARK_SOFT = 1 << 1,    /* a signal other than SIGKILL reached a member of the tree */
	MARK_HARD = 1 << 2,    /* SIGKILL reached a member of the tree */
	MARK_KILLING = 1 << 3, /* SIGKILL is being sent: whom it reached is not noted yet */
};

/* Signals for the command itself, sent on request. */
struct control_signals {
	struct word asked; /* E: how many were asked for, ever, in the low half; above it how many
			    * of the attached client's own numbering were taken */
	struct word begun; /* K: so many of them were sent or are just being sent, */
	struct word done;  /* K: so many were sent, stored after each */
	struct word
		queue[SIGNAL_QUEUE]; /* E: the nth at n % SIGNAL_QUEUE, written before `asked` */
};

struct control_exit {
	struct word ready;  /* K: 1 when the words below are valid; stored before the reap */
	struct word status; /* K: si_code << 32 | si_status as waitid gives them; see exitinfo.h */
	struct word at;     /* K: realtime ms */
	struct word utime;  /* K: us */
	struct word stime;  /* K: us */
	struct word maxrss; /* K: KiB */
	struct word minflt, majflt, inblock, oublock, nvcsw, nivcsw; /* K */
	struct word spare[2];
};

struct control_slot {
	struct word state;      /* E: enum slot_state; stored last when made, first when removed */
	struct word generation; /* E: times this record was used */
	struct word id_time;    /* E: realtime ns of the id */
	struct word id_counter; /* E */
	struct word handle;     /* E */
	struct word kind;       /* E: enum slot_kind */
	struct word flags;      /* E: set of enum slot_flag */
	struct word mark;       /* E: RLIMIT_LOCKS of the tree */
	struct word cgroup;     /* E: leaf number, 0 for none */
	struct word created;    /* E: realtime ms */
	struct word meta_size;  /* E: bytes of the metadata region, see layout.h */
	struct word index_size; /* E: bytes of the index ring */
	struct word in_size;    /* E: bytes of the stdin ring, 0 for none */
	struct word out_size[STREAMS_MAX]; /* E: bytes of each output ring, 0 for none */
	struct word key_hash[2];           /* E: hash of the idempotency key, 0 for none */
	struct word body_hash[2];          /* E */
	struct word parent;                /* E: handle of the parent session, 0 for none */

	struct word pid;        /* C: low 32 bits written by clone() before the child runs */
	struct word step;       /* C: enum spawn_step being done */
	struct word fail;       /* C: errno of that step, 0 for none */
	struct word spawn;      /* K: enum spawn_state */
	struct word started;    /* K: realtime ms of the execve */
	struct word start_time; /* K: field 22 of /proc/PID/stat, 0 when unknown */

	struct control_stream streams[STREAMS_MAX];
	struct word index_head; /* E: capture records ever written */

	struct word in_accepted;  /* E: stdin bytes taken from clients */
	struct word in_delivered; /* E: stdin bytes given to the child */
	struct word in_closing;   /* E: 1: close once delivered == accepted */
	struct word in_closed;    /* E: 1: closed (or the child closed it) */

	struct word token[2];    /* E: attach token of the controlling client, 0 for none */
	struct word attach_mode; /* E: 0 none, 1 drop-oldest, 2 block */
	struct word lease;      /* E: CLOCK_BOOTTIME ms until which a lost client keeps its place */
	struct word attach_pid; /* E: the holder */
	struct word attach_start;  /* E: its start time, /proc/PID/stat field 22 */
	struct word on_disconnect; /* E: 1: the session ends when the holder dies attached */
	struct word with_pid;      /* E: the session ends when this process is gone, 0 for none */
	struct word with_start;    /* E: its start time */

	struct control_stop stop;
	struct control_exit exit;
	struct word
		tree_gone; /* K: 1 when no member of the tree was left after the leader's exit */
	struct word exit_seen;  /* E: 1 after the exit was published */
	struct word timeout_at; /* E: CLOCK_BOOTTIME ms of --timeout, 0 for none */
	struct word ended_at;   /* E: realtime ms when exit was published or spawn failed */
	struct word lost; /* E: enum cause of a session whose daemon died as a whole, 0 for none */

	struct word load_deaths; /* K: engines that died while loading this slot */
	struct word quarantined; /* K: 1: kept and listed, not loaded */
	struct word last_seq;    /* E */
	struct word ttl; /* E: 1 + ms after the end until it is removed; 0 for the general rule */
	struct word n_leftovers; /* E: processes that the leader left behind, listed in `notes` */
	struct word notes_size;  /* E: bytes of the notes that are valid; stored after them */
	struct word window;      /* E: rows << 16 | columns of the terminal as last known */
	struct word screen_size; /* E: bytes of the screen's records, see layout.h; 0 for none */
	struct word screen; /* E: offset << 1 | number of the record that counts; 0: none yet */
	struct word filter; /* K: 0 no filter; 1 it is in place, and SLOT_FD_LISTENER its listener;
			     * errno << 32: it could not be installed, the command runs without */
	struct word passed; /* K: calls of SLOT_FD_LISTENER let pass while there was no engine */
	struct control_signals signals;
	struct word reason_size; /* E: bytes of the reason for its stop, at the end of the notes */
	struct word oom; /* E: 1: the kernel ended the leader for want of memory; stored before
			  * exit_seen */
};

_Static_assert(sizeof(struct control_daemon) <= CONTROL_RECORD, "record 0 is too large");
_Static_assert(sizeof(struct control_slot) <= CONTROL_RECORD, "a slot record is too large");

static inline struct control_daemon *control_daemon(void *memory)
{
	return memory;
}

/* The plan of the stop request of that number. One that the keeper may still look at stays as it is
 * while the next is written. */
static inline struct control_plan *control_plan(struct control_stop *stop, uint64_t request)
{
	return &stop->plans[request % STOP_PLANS];
}

/* The pid that clone() stored, 0 when no child was made. Numbers that are no child's are 0 too: to
 * kill(2) they are groups, or everybody. */
static inline int slot_pid(const struct control_slot *slot)
{
	int pid = *(const volatile int *)&slot->pid;

	return pid > 1 ? pid : 0;
}

/* The session's id: `pipe-` or `pty-`, the time, a counter. */
void slot_id(const struct control_slot *slot, char to[SLOT_ID_MAX]);

/* Record `i`, 1 .. CONTROL_SLOTS - 1. */
static inline struct control_slot *control_slot(void *memory, unsigned i)
{
	return (struct control_slot *)((char *)memory + (uint64_t)i * CONTROL_RECORD);
}
