/* SPDX-License-Identifier: Apache-2.0 */
/* foreground.h - being a session's client on this terminal or in this pipe: copies, passes signals
 * on, and ends as the session ends. */
#pragma once
#include "cli/cli.h"
#include "client/attach.h"

struct foreground_options {
	struct attach_options attach; /* its output, dropped and data are filled in here */
	bool input;                   /* stdin is copied to the session */
	bool owner; /* the session is this command: signals are passed on, and a stdout that
		       nobody reads any more ends it; else they only end the watching */
	bool stops; /* hung up, it says no goodbye: the session is to end without its client */
	bool until_ended; /* stay until the last stream's end; else until the command's exit */
};

/* Blocks the signals that matter, so that none is lost between the spawn and the loop. */
void foreground_hold_signals(bool owner);

/* The exit status of a client whose attachment is over, or whose session's command has ended; says
 * on stderr what is not just its end. */
int foreground_ended_status(const struct attach *a);

/* Runs until the session has ended or the client is to leave. `http` (stolen; NULL for none) is a
 * connection to begin with. Returns the exit status. */
int foreground_run(struct cli *cli, const struct foreground_options *o, struct http_client *http);

/* What `reeve attach` does without options. Returns the exit status. */
int attach_to(struct cli *cli, const char *session);
