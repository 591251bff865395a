/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - the private protocol between keeper and engine.
 *
 * One SOCK_SEQPACKET message is one struct link_message with up to N_LINK_FDS descriptors. What is
 * true stands in control memory; a message only says "look at this slot", so that losing one with
 * a dead peer loses nothing. Either side may be replaced: then the new one pulls the slots from
 * the other, one at a time (descriptors in flight count against RLIMIT_NOFILE). */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What keeper and engine have to agree on: this protocol, and all that stands in memory that both
 * know or a successor reads (control.h, layout.h). To be raised with each change that the other
 * side would misread. In a file of its own: tests make a program of another version. */
extern const uint32_t link_version;

enum link_type {
	LINK_HELLO = 1, /* new side -> old: slot = link_version */
	LINK_WELCOME,   /* old -> new: slot = link_version; the daemon's descriptors, `fds` = set of
			 * enum link_daemon_fd, or none when the versions differ */
	LINK_PULL,      /* new -> old: give me slot */
	LINK_SLOT,    /* old -> new: its descriptors, `fds` = set of enum slot_fd; none: not held */
	LINK_READY,   /* new -> old: all is loaded */
	LINK_SPAWN,   /* engine -> keeper: hold and start slot; `fds` = set of enum slot_fd */
	LINK_CHANGED, /* keeper -> engine: look at slot's words; may carry SLOT_FD_PID and
		       * SLOT_FD_LISTENER. `arg` = 1:
		       * the leader has ended, and `tree_gone` says what it left behind */
	LINK_STOP,    /* engine -> keeper: a stop request stands in slot's words */
	LINK_SIGNAL,  /* engine -> keeper: signals stand in slot's words */
	LINK_CLOSE, /* engine -> keeper: close the descriptors in the set `arg`. Of streams that end
		     * while the leader lives this is not said: the keeper sees it at the exit */
	LINK_RELEASE,   /* engine -> keeper: forget slot */
	LINK_OPEN_GATE, /* engine -> keeper: the gated child of slot may go on, or must not: `arg` =
			   errno */
	LINK_PING,      /* keeper -> engine */
	LINK_PONG,      /* engine -> keeper */
	LINK_QUIT,      /* either way: `arg` = enum quit_mode */
	LINK_LOOK, /* engine -> keeper: does foreground group (low half of `arg`) read the terminal
		      with the device number in the upper half? */
	LINK_LOOKED, /* keeper -> engine: `arg` = enum tty_wait; in its upper half, us of processor
		      * time that it took */
	LINK_HOLD,   /* engine -> keeper: hold these further descriptors of slot */
	LINK_KEEP,   /* engine -> keeper: hold the descriptor in place `arg` of the daemon's own,
		      * see kept.h; without one: close what is there */
	LINK_FETCH,  /* new -> old: give me what is in place `arg` */
	LINK_KEPT,   /* old -> new: it, or none */
	LINK_LISTEN, /* keeper -> engine: listen on this socket (LISTEN_FD) instead */
	LINK_BORROW, /* engine -> keeper: open the memory of thread `arg` for me; with a number in
		      * its upper half, copy descriptor number - 1 of that process. `slot` = a
		      * ticket, not 0 */
	LINK_LENT,   /* keeper -> engine: here it is (LENT_FD), or none, for the ticket `slot`. 0:
		      * some answers found no room, all are to be asked for again */
	N_LINK_TYPES,
};

#define LISTEN_FD 0 /* the descriptor of LINK_LISTEN */
#define LENT_FD   0 /* of LINK_LENT */

enum quit_mode {
	QUIT_NOT,
	QUIT_STOP, /* end all sessions, then keeper and engine */
	QUIT_KEEP, /* the engine leaves, the keeper stays with the sessions */
};

/* The descriptors of a slot; the order in a message is this order. */
enum slot_fd {
	SLOT_FD_MEMORY,   /* the session's memfd, layout.h */
	SLOT_FD_IN,       /* write end of stdin */
	SLOT_FD_OUT,      /* read end of stdout (or the pty's master) */
	SLOT_FD_ERR,      /* read end of stderr */
	SLOT_FD_PID,      /* pidfd of the leader */
	SLOT_FD_EVENTS,   /* memory of its events, while it is observed */
	SLOT_FD_LISTENER, /* where its system calls wait, while it is observed so */
	N_SLOT_FDS,
	/* A pty session has its master as SLOT_FD_OUT, no SLOT_FD_IN, and the keeper holds a slave
	 * until the leader's output is complete: */
	SLOT_FD_SLAVE = SLOT_FD_ERR,
	/* Only in LINK_SPAWN, for the child: */
	SLOT_FD_CHILD_IN = N_SLOT_FDS,
	SLOT_FD_CHILD_OUT,
	SLOT_FD_CHILD_ERR,
	SLOT_FD_SPEC,
	SLOT_FD_CGROUP,
	N_LINK_FDS,
};

enum link_daemon_fd {
	DAEMON_FD_CONTROL,
	DAEMON_FD_LISTEN,
	DAEMON_FD_LOCK,
	DAEMON_FD_TRANSFER_R,
	DAEMON_FD_TRANSFER_W,
	DAEMON_FD_FEED_R,
	DAEMON_FD_FEED_W,
	DAEMON_FD_CGROUP, /* directory of the sessions' cgroups; may be absent */
	N_DAEMON_FDS,
};

struct link_message {
	uint32_t type;
	uint32_t slot;
	uint64_t arg;
	uint32_t fds; /* bit n: descriptor n of its enum is attached */
	uint32_t zero;
};

/* Sends `m` with the descriptors of `table` that `m->fds` names. 0; -EAGAIN when the peer's queue
 * is full, -EPIPE when it is gone. */
int link_send(int sock, const struct link_message *m, const int table[N_LINK_FDS]);

/* Receives one message; absent descriptors are -1 in `table`. Returns 1, 0 at end of file, -EAGAIN,
 * or -EBADMSG for a message of the wrong size or with the wrong number of descriptors (all closed).
 * -EMFILE: it is in `ret`, but there was no room for its descriptors, which are lost. */
int link_receive(int sock, struct link_message *ret, int table[N_LINK_FDS]);

/* What keeper and engine inherit from each other, whichever starts the other. */
#define LINK_SOCKET "3"
#define LINK_READS  "4" /* the ring of reads, which no message can bring, uring_read.h */

/* In a new process before its execve: it will have these two, `reads` only unless it is negative,
 * and none behind them. */
int link_inherit(int sock, int reads);

/* Then executes the program that is open as `file` (-1: what lies at `path`): by its path where it
 * still lies there, so that it goes by its name. Returns when it cannot: a negative errno. */
int link_execute(int file, const char *path, char *const argv[]);

/* Closes all descriptors in the table. */
void link_close_fds(int table[N_LINK_FDS]);
