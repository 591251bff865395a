/* SPDX-License-Identifier: Apache-2.0 */
/* targets.h - the sessions that a verb is about: named one by one, or described. */
#pragma once
#include "cli/cli.h"

/* A description; NULL: any. */
struct selection {
	const char *label, *originator, *status;
	const char *older_than; /* a duration since it was made */
};

/* The options that make a selection, a member of `values`; `those` begins what --help says of them.
 */
#define SELECTION_OPTIONS(values, member, those)                                                   \
	{ .name = "label",                                                                         \
	  .letter = 'l',                                                                           \
	  .argument = "KEY[=VALUE]",                                                               \
	  .help = those " with this label",                                                        \
	  .type = OPTION_TEXT,                                                                     \
	  .offset = offsetof(values, member.label) },                                              \
		{ .name = "originator",                                                            \
		  .argument = "NAME",                                                              \
		  .help = those " that it asked for",                                              \
		  .type = OPTION_TEXT,                                                             \
		  .offset = offsetof(values, member.originator) },                                 \
	{                                                                                          \
		.name = "status", .argument = "STATUS", .help = those " with this status",         \
		.choices = "starting running stopping exited stopped failed", .type = OPTION_TEXT, \
		.offset = offsetof(values, member.status)                                          \
	}

#define SELECTION_OLDER_THAN(values, member, those)                                                \
	{                                                                                          \
		.name = "older-than", .argument = "TIME",                                          \
		.help = those " made longer ago than this", .type = OPTION_DURATION,               \
		.offset = offsetof(values, member.older_than)                                      \
	}

bool selection_given(const struct selection *s);

struct targets {
	char **ids; /* as they were given, or full ids when they were described */
	size_t n;
	bool described; /* there may be none */
};

/* Takes `words`, with @last resolved, or those that `s` describes; with `ended`, also those that
 * have ended. ERROR_INVALID_ARGUMENT when neither is given, or both are. */
int targets_find(struct cli *cli, char **words, int n, const struct selection *s, bool ended,
		 struct targets *ret, struct error *e);
void targets_done(struct targets *t);

/* Calls `verb` for each; prints what goes wrong. Returns the first exit status that is not 0. */
int targets_each(struct cli *cli, char **words, int n, const struct selection *s, bool ended,
		 int (*verb)(struct cli *cli, const char *id, const void *values, struct error *e),
		 const void *values);
