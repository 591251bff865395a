/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.h - the process that owns what must not die: slots, control memory, the socket, the
 * children.
 *
 * One thread, plain poll, nothing that blocks; memory is only allocated while trees are looked at,
 * and doing without it is survived. It never reads the listening socket: while no engine runs,
 * clients wait in its backlog. */
#pragma once
#include "core/control.h"
#include "core/kept.h"
#include "core/link.h"
#include "core/proc.h"
#include "core/spawn.h"
#include "core/tree.h"
#include "core/ttywait.h"
#include <stdbool.h>
#include <sys/types.h>

#define KEEPER_JOBS  64U    /* spawns the engine may have in flight */
#define PING_MS      5000U  /* an engine that says nothing for so long is asked */
#define PONG_MS      10000U /* and killed when it has not answered after this */
#define PID_TABLE    (2 * CONTROL_SLOTS)
#define SPAWNER_NAME "reeve-spawner"
#define PASS_MS      2000U /* without an engine for so long, calls that are observed may pass */
#define SPAWN_MS     2000U /* a spawn step that takes longer hangs */

struct holding {
	uint32_t held;       /* bit n: fds[n] is open */
	bool dirty;          /* the engine has yet to be told of a change */
	bool send_pid;       /* with the pidfd, and the listener if there is one */
	bool watched;        /* leader ended, tree not known to be gone */
	bool looked;         /* leader ended, and what it left behind was looked at */
	bool stopping;       /* a stop request is being carried out */
	bool killing;        /* and it has come to SIGKILL */
	unsigned patience;   /* of tree_kill_step */
	bool adopted;        /* its leader is not our child */
	uint64_t ended_seen; /* monotonic ms when an adopted leader was first seen ended */
	int fds[N_SLOT_FDS];
};

struct engine_process {
	pid_t pid; /* 0 when none */
	int pidfd, sock;
	bool child; /* ours to reap; false for one that outlived the keeper before */
	bool ready;
	bool hung;                       /* killed because it did not answer */
	uint64_t started, heard, pinged; /* monotonic ms; pinged 0: no answer is awaited */
	uint64_t start_at;               /* when to start the next; 0: none is wanted */
	uint64_t gone; /* monotonic ms since when none was ready; 0 while one is, or was never */
	unsigned early_deaths;
};

struct spawn_job {
	unsigned slot; /* 0: free place */
	uint32_t held;
	int fds[N_LINK_FDS]; /* the child's ends, spec, cgroup */
	int gate_r, gate_w;
	bool sent, gate_open;
	bool goes_there;    /* it was killed when it was made in its cgroup */
	bool awaits_filter; /* the child has yet to tell of it */
	uint64_t order;
	uint64_t orphaned; /* monotonic ms when its spawner ended under it, 0 for not */
};

struct spawner_process {
	pid_t pid;
	int sock;
	uint64_t busy_since; /* monotonic ms of the oldest unanswered request, 0 for none */
};

struct pid_entry {
	int pid; /* 0: free */
	unsigned slot;
};

struct keeper {
	const char *dir, *engine_path;
	int lock_fd, signal_fd;
	int socket_watch; /* inotify; -1: looked at with every ping only */
	int daemon_fds[N_DAEMON_FDS];
	int reads_fd; /* the ring of reads (uring_read.h); negative for none */
	void *memory;
	struct control_daemon *daemon;
	struct engine_process engine;
	int program;     /* of the engine that serves, or served last; -1: what lies at its path */
	int new_program; /* which is tried; -1: none */
	struct spawner_process spawner;
	struct spawn_job jobs[KEEPER_JOBS];
	uint64_t next_order;
	enum quit_mode quitting;
	uint64_t quit_deadline;
	bool quit_told;           /* the engine knows that it is to end */
	uint64_t strangers_until; /* monotonic ms; 0: none was seen yet */
	bool parked;
	bool done;
	bool adopted;        /* children are not ours: exits come by pidfd */
	bool peek_children;  /* the kernel lists our children */
	int children_fd;     /* that list, kept open: to open it anew costs more than to read it */
	bool born_childless; /* it listed none at the start: there are none but those of the daemon
			      */
	unsigned n_watched, n_stopping, n_dirty;
	bool lent_lost;    /* the engine did not get all that it has asked for */
	unsigned top_slot; /* highest slot ever held */
	uint64_t look_at;  /* CLOCK_BOOTTIME ms of the next look at trees; 0: none is planned */
	bool look_anyway; /* some watched tree has parents that are not ours, or cannot be listed */
	unsigned look_pause;   /* ms between looks, grows while nothing changes */
	uint64_t unsure_since; /* CLOCK_BOOTTIME ms since when it cannot be told whose one is; 0 */
	struct holding slots[CONTROL_SLOTS];
	int kept[KEPT_MAX]; /* descriptors of the daemon's own, each + 1; 0: none */
	int passing;        /* epoll of the listeners whose calls are let pass, + 1; 0: none */
	struct pid_entry pids[PID_TABLE];
	struct tty_groups groups; /* of terminals that are looked at for the engine */
};

static inline struct control_slot *keeper_slot(struct keeper *k, unsigned i)
{
	return control_slot(k->memory, i);
}

/* --- slots.c -------------------------------------------------------------------------------- */
bool slot_holds(const struct keeper *k, unsigned slot, enum slot_fd fd);
void slot_take_fds(struct keeper *k, unsigned slot, int table[N_LINK_FDS]);
void slot_close_fds(struct keeper *k, unsigned slot, uint32_t set);
void slot_release(struct keeper *k, unsigned slot);
/* Tells the engine, now or when it can take it, that the slot's words have changed. */
void slot_changed(struct keeper *k, unsigned slot);
void slots_flush(struct keeper *k);
/* The slot whose leader is `pid`; 0 when none. */
unsigned slot_of_pid(const struct keeper *k, pid_t pid);
void slot_note_pid(struct keeper *k, unsigned slot, pid_t pid);
void slot_forget_pid(struct keeper *k, pid_t pid);
struct tree slot_tree(struct keeper *k, unsigned slot);

/* --- program.c ------------------------------------------------------------------------------ */
/* Keeps the program open that lies at its path, or that of an engine that is there. */
void program_keep(struct keeper *k, pid_t engine);
/* The next engine is what lies at its path now, if that is another. */
void program_try_new(struct keeper *k);
/* In the engine's process. Returns when it cannot be executed. */
int program_execute(struct keeper *k, char *const argv[]);
/* The engine serves: from now on it is this program. */
void program_serves(struct keeper *k);
/* It ended before it did. True when the program before it is to be started. */
bool program_give_up(struct keeper *k);

/* --- engine.c ------------------------------------------------------------------------------- */
/* Starts an engine when one is wanted and due. */
void engine_start_due(struct keeper *k);
/* Reads and obeys its messages. */
void engine_readable(struct keeper *k);
/* It died: settles what it was loading and plans the next. `crashed`: by itself, not by SIGKILL. */
void engine_died(struct keeper *k, bool crashed);
/* Heartbeat; kills a hung one. */
void engine_check(struct keeper *k, uint64_t now);
int engine_send(struct keeper *k, const struct link_message *m, const int table[N_LINK_FDS]);
/* Puts the descriptor in `table`, or none, in that place of the daemon's own. */
void engine_keep(struct keeper *k, uint64_t place, int table[N_LINK_FDS]);

/* --- socket.c ------------------------------------------------------------------------------- */
/* ERROR_ALREADY_EXISTS when somebody listens there. */
int socket_make(struct keeper *k, struct error *e);
/* Its name is gone, or another's: makes another socket and gives it to the engine. */
void socket_check(struct keeper *k);
/* `socket_watch` can be read. */
void socket_event(struct keeper *k);
/* The daemon ends. */
void socket_remove(struct keeper *k);

/* --- signals.c ------------------------------------------------------------------------------ */
/* Sends what stands in the slot's words and was not sent yet, once the command runs. */
void signals_send(struct keeper *k, unsigned slot);

/* --- spawning.c ----------------------------------------------------------------------------- */
int spawner_start(struct keeper *k);
/* Takes over the descriptors in `table`; false when all places are taken. */
bool spawning_begin(struct keeper *k, unsigned slot, int table[N_LINK_FDS]);
void spawning_readable(struct keeper *k);
/* The keeper could not look for so many ms until now: nobody is called hung for them. */
void spawning_held_up(struct keeper *k, uint64_t now, uint64_t ms);
void spawning_check(struct keeper *k, uint64_t now);
/* ms until spawning_check has something to look at; -1 for never. */
int spawning_timeout(const struct keeper *k);
/* A child ended that may be one just being spawned. False: another is made in its place. */
bool spawning_child_ended(struct keeper *k, unsigned slot);
void spawning_open_gate(struct keeper *k, unsigned slot);
/* Ends the child that waits at its gate: the spawn fails with this errno. */
void spawning_refuse(struct keeper *k, unsigned slot, int errnum);
void spawning_gate_event(struct keeper *k, struct spawn_job *job);
/* The spawner process ended (by itself or killed). */
void spawner_died(struct keeper *k);
/* After an adoption, when the spawner before is dead: settles a spawn that the keeper before had
 * begun, or looks after its child until it has exec'd. */
void spawning_adopt(struct keeper *k, unsigned slot);

/* --- reap.c --------------------------------------------------------------------------------- */
void reap_children(struct keeper *k);
/* For an adopted leader, whose parent is not this keeper: its pidfd says that it ended. */
void reap_adopted(struct keeper *k, uint64_t now);

/* --- stopper.c ------------------------------------------------------------------------------ */
void stopper_begin(struct keeper *k, unsigned slot);
/* Goes on with what a keeper before had begun. */
void stopper_adopt(struct keeper *k, unsigned slot);
/* The daemon ends: SIGKILL for what is left of the tree. Returns whether something is. */
bool stopper_kill_now(struct keeper *k, unsigned slot);
/* Does what is due: signals, kill rounds, looking whether trees are gone. */
void stopper_run(struct keeper *k, uint64_t boottime);
/* ms until stopper_run has something to do; -1 for never. */
int stopper_timeout(const struct keeper *k, uint64_t boottime);
/* A process ended that was no leader: a tree may be gone. */
void stopper_look(struct keeper *k);
/* The leader has ended: is anything of its tree left? */
void stopper_leader_ended(struct keeper *k, unsigned slot);

/* --- strangers.c ---------------------------------------------------------------------------- */
/* The daemon ends, and so does what hangs on this process and is of no session. Returns whether
 * something is left that is worth another look. */
bool strangers_end(struct keeper *k, uint64_t now);

/* --- passing.c ------------------------------------------------------------------------------ */
/* Begins or ends letting calls pass. */
void passing_check(struct keeper *k, uint64_t now);
/* ms until passing_check has something to do; -1 for never. */
int passing_timeout(const struct keeper *k, uint64_t now);
void passing_readable(struct keeper *k);

/* --- lending.c ------------------------------------------------------------------------------ */
/* LINK_BORROW */
void lending_ask(struct keeper *k, const struct link_message *m);
/* The engine can be sent something again. */
void lending_flush(struct keeper *k);

/* --- spawner.c ------------------------------------------------------------------------------ */
struct spawner_request {
	uint32_t slot;
	uint32_t fds; /* bits of SLOT_FD_CHILD_* .. SLOT_FD_CGROUP, and bit N_LINK_FDS for the gate
		       */
	uint32_t goes_there; /* 1: struct spawn_fds */
};

struct spawner_reply {
	uint32_t slot;
	int32_t result; /* 0 or the negative errno of clone */
};

/* The spawner's main loop; does not return. */
_Noreturn void spawner_main(int sock, void *memory);
