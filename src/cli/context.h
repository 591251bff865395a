/* SPDX-License-Identifier: Apache-2.0 */
/* context.h - the caller's own circumstances, which a session gets instead of the daemon's. */
#pragma once
#include "base/error.h"
#include "cli/options.h"
#include <jansson.h>

struct context_options {
	bool clear;                /* start from nothing instead of the caller's environment */
	const struct words *files; /* --env-file, applied in order */
	const struct words *unset;
	const struct words *set; /* KEY=VALUE, or KEY for the caller's */
	const char *cwd;         /* NULL: the caller's; a relative one is taken from there */
	const char *program;     /* what the session runs */
};

/* Adds `env`, `cwd`, `umask`, `limits` and `nice` to a spawn request. */
int context_add(json_t *request, const struct context_options *o, struct error *e);

/* Applies one line of an env-file, or one -e, to `env`: KEY=VALUE, or KEY for the caller's. */
int context_set(json_t *env, const char *assignment, struct error *e);

/* Reads an env-file: a line each, blank lines and those that begin with # left out. */
int context_read_file(json_t *env, const char *path, struct error *e);
