/* SPDX-License-Identifier: Apache-2.0 */
/* terminal_client.h - a session's terminal shown on the user's own: keys go to it, its output comes
 * here, sizes follow; left by the detach keys, by the session's end, or with the terminal itself.
 */
#pragma once
#include "cli/cli.h"
#include "cli/terminal_keys.h"
#include "client/attach.h"

struct terminal_client_options {
	struct attach_options attach; /* output, screen, dropped, data, size: filled in here */
	struct terminal_keys keys;
	const char *keys_text; /* shown when attached; NULL: nothing is shown */
	bool owner;            /* the session is this command: signals from outside are passed on */
	bool until_ended;      /* stay until the stream's end; else until the command's exit */
};

/* Runs until it is left. `http` (stolen; NULL for none) is a connection to begin with. Returns the
 * exit status. */
int terminal_client_run(struct cli *cli, const struct terminal_client_options *o,
			struct http_client *http);
