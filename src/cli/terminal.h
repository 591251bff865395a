/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.h - the user's own terminal: raw while a session is shown on it, and put right again,
 * also when this process is killed: a second process, the watcher, sees its end and does it.
 * Sources: termios(3), ioctl_tty(2), credentials(7). */
#pragma once
#include "base/error.h"
#include "cli/terminal_modes.h"
#include <sys/types.h>
#include <termios.h>

/* Shared with the watcher. */
struct terminal_shared {
	struct terminal_modes modes;
	uint32_t entered; /* the terminal is as we made it, not as we found it */
	struct termios found, raw;
};

struct terminal {
	struct terminal_shared *shared;
	int leash; /* closed, in whatever way: the watcher acts and ends */
	pid_t watcher;
};

/* True when stdin and stdout are terminals. */
bool terminal_is_here(void);

/* Rows and columns of stdout; false where they are unknown. */
bool terminal_size(uint16_t *ret_rows, uint16_t *ret_cols);

/* Starts the watcher; the terminal is as before. */
int terminal_open(struct terminal *t, struct error *e);

/* Makes it raw; what is written from now on goes through `shared->modes`. In the background this
 * stops the process until it is brought to the foreground. */
int terminal_enter(struct terminal *t, struct error *e);

/* Undoes the modes and the rawness. Waits at most a second for a terminal that takes nothing. */
void terminal_leave(struct terminal *t);

/* The same, and ends the watcher. NULL-safe members: may follow a failed terminal_open. */
void terminal_close(struct terminal *t);
