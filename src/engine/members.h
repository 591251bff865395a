/* SPDX-License-Identifier: Apache-2.0 */
/* members.h - the processes of a session's tree, as the engine may look at them. */
#pragma once
#include "core/tree.h"
#include "engine/session.h"

/* Calls `fn` for each member. Negative errno, or what `fn` ended the walk with. */
int members_each(const struct session *s, tree_fn fn, void *userdata);

/* The redacted command line of a process, or its name when it has none. The caller's; NULL when it
 * is gone. */
char *member_command(pid_t pid);
