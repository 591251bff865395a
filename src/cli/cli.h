/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - what every command gets, and what they share. */
#pragma once
#include "client/client.h"
#include <jansson.h>
#include <stdio.h>

/* Exit statuses; those of `run` and `wait` are the child's. */
enum exit_status {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_TIMED_OUT = 124,
	EXIT_UNREACHABLE = 125,
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128, /* plus the signal's number */
};

struct command;

struct cli {
	unsigned client_flags;
	struct client *client;                  /* made by cli_client */
	const struct command *parent, *command; /* being carried out; NULL until known */
};

/* The client, made at its first use. NULL with the reason in `e`. */
struct client *cli_client(struct cli *cli, struct error *e);

/* Asks the daemon; `body` is stolen. */
int cli_call(struct cli *cli, const char *method, const char *target, json_t *body, json_t **ret,
	     struct error *e);

/* The answer to a GET as text, appended to `b`, for those who need little of it or all as it is. */
int cli_get_text(struct cli *cli, const char *target, struct buffer *b, struct error *e);

/* The same as cli_call for "/v1/sessions/{session}{rest}". */
int cli_call_session(struct cli *cli, const char *method, const char *session, const char *rest,
		     json_t *body, json_t **ret, struct error *e);

/* Prints `reeve: MESSAGE` on stderr; behind a daemon that did not start also the end of its log. */
void cli_print_error(struct cli *cli, const struct error *e);

/* Prints the end of the daemon's log on stderr, and where it is. */
void cli_print_log(const struct paths *paths);

/* The same as cli_print_error, and returns the exit status that belongs to it. */
int cli_fail(struct cli *cli, const struct error *e);

/* Prints `reeve: COMMAND: MESSAGE` with a hint at --help; returns EXIT_USAGE. */
int cli_usage(struct cli *cli, const char *format, ...) _printf_(2, 3);

/* The session that a word means: itself, or for `@last` the one that `run` made last. `*ret` is the
 * caller's. */
int cli_session(struct cli *cli, const char *word, char **ret, struct error *e);

/* The exit status for an exit code of the API (-N for signal N). */
int cli_status_of(int64_t code);
