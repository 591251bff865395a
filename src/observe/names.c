/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the observation model's values. */
#include "base/cleanup.h"
#include "reeve/observer.h"
#include <errno.h>
#include <string.h>

static const char *const categories[] = {
	[REEVE_LIFECYCLE] = "lifecycle",
	[REEVE_FILE] = "file",
	[REEVE_NETWORK] = "network",
	[REEVE_PROCESS] = "process",
};

static const char *const supports[] = {
	[REEVE_SUPPORTED] = "supported",
	[REEVE_PARTIAL] = "partial",
	[REEVE_UNAVAILABLE] = "unavailable",
};

static const char *const scopes[] = {
	[REEVE_LAUNCHED_TREE] = "launched-tree",
	[REEVE_SYSTEM_WIDE] = "system-wide",
};

static const char *const kinds[] = {
	[REEVE_STARTED] = "started",     [REEVE_EXITED] = "exited",
	[REEVE_FORKED] = "forked",       [REEVE_EXECUTED] = "executed",
	[REEVE_OPENED] = "opened",       [REEVE_CREATED] = "created",
	[REEVE_CLOSED] = "closed",       [REEVE_MOVED] = "moved",
	[REEVE_RENAMED] = "renamed",     [REEVE_UNLINKED] = "unlinked",
	[REEVE_LINKED] = "linked",       [REEVE_SYMLINKED] = "symlinked",
	[REEVE_MKDIR] = "mkdir",         [REEVE_RMDIR] = "rmdir",
	[REEVE_TRUNCATED] = "truncated", [REEVE_CHMOD] = "chmod",
	[REEVE_CHOWN] = "chown",         [REEVE_MAPPED] = "mapped",
	[REEVE_READ] = "read",           [REEVE_WRITTEN] = "written",
	[REEVE_CONNECTED] = "connected", [REEVE_BOUND] = "bound",
	[REEVE_LISTENING] = "listening", [REEVE_ACCEPTED] = "accepted",
	[REEVE_DATAGRAM] = "datagram",   [REEVE_SENT] = "sent",
	[REEVE_RECEIVED] = "received",   [REEVE_URING] = "uring",
};

#define NAME_OF(table, value)                                                                      \
	((size_t)(value) < ARRAY_SIZE(table) ? (table)[(size_t)(value)] : NULL)

const char *reeve_category_name(enum reeve_category category)
{
	return NAME_OF(categories, category);
}

int reeve_category_parse(const char *name, enum reeve_category *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(categories); i++) {
		if (strcmp(categories[i], name) == 0) {
			*ret = (enum reeve_category)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *reeve_support_name(enum reeve_support support)
{
	return NAME_OF(supports, support);
}

const char *reeve_scope_name(enum reeve_scope scope)
{
	return NAME_OF(scopes, scope);
}

const char *reeve_kind_name(enum reeve_kind kind)
{
	return NAME_OF(kinds, kind);
}
