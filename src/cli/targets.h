/* SPDX-License-Identifier: Apache-2.0 */
/* targets.h - the sessions that a verb is about: named one by one, or described. */
#pragma once
#include "base/buffer.h"
#include "cli/cli.h"
#include "cli/options.h"

/* A description; NULL: any. */
struct selection {
	struct words labels; /* `key` or `key=value`; all must be there */
	const char *originator, *status;
	const char *older_than; /* a duration since it was made */
};

/* The options that make a selection, a member of `values`; `those` begins what --help says of them.
 */
#define SELECTION_OPTIONS(values, member, those)                                                   \
	{ .name = "label",                                                                         \
	  .letter = 'l',                                                                           \
	  .argument = "KEY[=VALUE]",                                                               \
	  .help = those " with this label; given again: with that one, too",                       \
	  .type = OPTION_WORDS,                                                                    \
	  .offset = offsetof(values, member.labels) },                                             \
		{ .name = "originator",                                                            \
		  .argument = "NAME",                                                              \
		  .help = those " that it asked for",                                              \
		  .type = OPTION_TEXT,                                                             \
		  .offset = offsetof(values, member.originator) },                                 \
		{ .name = "status",                                                                \
		  .argument = "STATUS",                                                            \
		  .help = those " with this status",                                               \
		  .choices = "starting running stopping exited stopped failed",                    \
		  .type = OPTION_TEXT,                                                             \
		  .offset = offsetof(values, member.status) },                                     \
	{                                                                                          \
		.name = "older-than", .argument = "TIME",                                          \
		.help = those " made longer ago than this", .type = OPTION_DURATION,               \
		.offset = offsetof(values, member.older_than)                                      \
	}

bool selection_given(const struct selection *s);
/* Appends the selection to the target of a request. */
int selection_query(struct buffer *b, const struct selection *s);

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
