/* SPDX-License-Identifier: Apache-2.0 */
/* observe_private.h - what the observe_*.c files share. */
#pragma once
#include "core/kept.h"
#include "engine/observe.h"

struct probing;
struct direct;

/* Of an engine, made with the first thing to observe. */
struct observatory {
	struct engine *engine;
	struct probing *probing; /* observe_probe.c; NULL until something is to be tried out */
	struct host *host;       /* NULL until a backend runs */
	uv_poll_t poll;          /* of the host, while there is one */
	struct direct *direct;   /* what it watches without the host's detour */
	uv_idle_t tell;          /* while readers are to be told */
	struct observed *news, **news_end; /* sessions whose readers are to be told, in turn */
	struct observed *sessions;
	struct kept_entry *names; /* the table in place 0, mapped; NULL: nothing is kept */
	int kept[KEPT_MAX];       /* lent to us, but for place 0; each + 1; 0: none */
};

/* NULL without memory. */
struct observatory *observatory_of(struct engine *e);

/* Its readers need not be told any more. */
void observe_no_news(struct observed *o);
