/* SPDX-License-Identifier: Apache-2.0 */
/* scan.h - one look at all processes: who belongs to which tree. Of use to tree.c alone. */
#pragma once
#include "core/tree.h"

/* A process that /proc showed. */
struct scan_entry {
	pid_t pid;
	pid_t parent;  /* 0 until it is needed */
	uint32_t tree; /* SCAN_*, or the index of its tree */
};

#define SCAN_FREE    UINT32_MAX       /* of no tree so far */
#define SCAN_BARRIER (UINT32_MAX - 1) /* of none, nor what descends from it */
#define SCAN_DEAD    (UINT32_MAX - 2)

struct scan {
	const struct tree *trees;
	size_t n_trees;
	const struct tree_filter *filter;
	bool shallow;  /* leave out members by descent: no tree consists of them alone */
	tree_fn found; /* called as soon as a member is found, NULL for none */
	void *userdata;

	struct scan_entry *entries; /* by pid, ascending */
	size_t n_entries, max_entries;
	struct tree_member *members; /* a parent before its descendants */
	size_t n_members, max_members;
	pid_t self;
	uint64_t corpses; /* a sum over those of the trees that have ended, whoever they were */
	bool doubtful;    /* a process may have slipped by */
	bool unknown;     /* it cannot be told now whose an orphan is */
};

void scan_init(struct scan *s, const struct tree *trees, size_t n,
	       const struct tree_filter *filter);
void scan_done(struct scan *s);

/* Looks, replacing what was found before. Returns what `found` returned when that was not 0.
 *
 * /proc is not frozen for it: a process can fork and end so that its child has a pid which the walk
 * has passed, and then no member is seen although one lives. That cannot be when nothing was forked
 * during the look, and it leaves a trace else: a process that was listed and then gone, numbers
 * that started anew, or a corpse that the look before did not see. With such a trace it is
 * `doubtful`. (A corpse in turn stays until the caller reaps it, which it does not do during a
 * look; or it was reaped by a parent in the tree, for which the same holds.) */
int scan_look(struct scan *s);

/* How many members of that tree were found. */
unsigned scan_count(const struct scan *s, size_t tree);

/* Whether the member is one still, of a process that cannot be replaced by another meanwhile: one
 * whose pidfd is open, and is found alive by the next use of it. */
bool scan_confirm(const struct scan *s, const struct tree_member *m);
