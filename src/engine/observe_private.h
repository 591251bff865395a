/* SPDX-License-Identifier: Apache-2.0 */
/* observe_private.h - what the observe_*.c files share. */
#pragma once
#include "core/kept.h"
#include "engine/observe.h"

struct probing;

/* Of an engine, made with the first thing to observe. */
struct observatory {
	struct engine *engine;
	struct probing *probing; /* observe_probe.c; NULL until something is to be tried out */
	struct host *host;       /* NULL until a backend runs */
	uv_poll_t poll;          /* of the host, while there is one */
	struct observed *news, **news_end; /* sessions whose readers are to be told, in turn */
	uv_idle_t tell;                    /* while some are told before the loop waits again */
	uv_poll_t rest;                    /* of rest_fd, a timer: they are told when it is due */
	int rest_fd;
	bool resting;  /* it is set */
	uint64_t told; /* monotonic us: when some were told last */
	struct observed *sessions;
	struct kept_entry *names; /* the table in place 0, mapped; NULL: nothing is kept */
	int kept[KEPT_MAX];       /* lent to us, but for place 0; each + 1; 0: none */
};

/* NULL without memory, or a descriptor. */
struct observatory *observatory_of(struct engine *e);

/* --- observe_news.c: telling readers -----------------------------------------------------------
 */

int observe_news_init(struct observatory *ob);
/* Its readers need not be told any more. */
void observe_no_news(struct observed *o);
/* The engine is awake for another reason: it takes its next turn now, if that is due soon. */
void observe_awake(struct observatory *ob);

/* --- observe_lender.c --------------------------------------------------------------------------
 */

void observe_set_lender(struct engine *e, struct host *h);
