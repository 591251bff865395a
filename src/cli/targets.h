/* SPDX-License-Identifier: Apache-2.0 */
/* targets.h - the sessions that a verb is about: named one by one, or by a label. */
#pragma once
#include "cli/cli.h"

struct targets {
	char **ids; /* as they were given, or full ids when found by label */
	size_t n;
};

/* Takes `words`, with @last resolved, and then those with the label (NULL: none); with `ended`,
 * also those that have ended. ERROR_INVALID_ARGUMENT when neither is given. */
int targets_find(struct cli *cli, char **words, int n, const char *label, bool ended,
		 struct targets *ret, struct error *e);
void targets_done(struct targets *t);

/* Calls `verb` for each; prints what goes wrong. Returns the first exit status that is not 0. */
int targets_each(struct cli *cli, char **words, int n, const char *label, bool ended,
		 int (*verb)(struct cli *cli, const char *id, const void *values, struct error *e),
		 const void *values);
