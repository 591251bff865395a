/* SPDX-License-Identifier: Apache-2.0 */
/* drawer.h - the processes that draw screens, so that a fault of libvterm is theirs.
 *
 * A drawer is `reeved --draw`, an aide of the engine (aide.h), made when a task first needs one and
 * ended after DRAWER_IDLE_MS without any. It knows one drawing at a time and nothing else. One that
 * dies or takes too long is killed and replaced at the next drawing. The loop never waits for it:
 * tasks run on workers, at most one for each of DRAWERS_MAX drawers, the others wait in a queue. */
#pragma once
#include "base/error.h"
#include "draw/shot.h"
#include "engine/aide.h"
#include <uv.h>

#define DRAWERS_MAX    2U
#define DRAWER_DRAW_MS 5000U
#define DRAWER_IDLE_MS 3000U

struct engine;
struct drawers;

struct drawer {
	uv_work_t work;
	struct drawers *drawers;
	struct drawer_task *task; /* that it is busy with; NULL: with ending */
	bool busy;
	struct aide aide;
};

struct drawer_task {
	void (*run)(struct drawer_task *task, struct drawer *d); /* on a worker */
	void (*done)(struct drawer_task *task);                  /* on the loop */
	struct drawer_task *next;
};

/* --- on the loop ------------------------------------------------------------------------------ */

/* -ENOMEM. Makes `e->drawers` when there is none. */
int drawers_submit(struct engine *e, struct drawer_task *task);

/* --- on any thread that has the drawer to itself ------------------------------------------------
 */

void drawer_init(struct drawer *d);
/* Draws; `shot` is one of screen_begin() for this input. Starts the process if there is none.
 * -EPIPE: it died; -ETIME: it took too long; -EPROTO: it said what cannot be. After these it is
 * ended, and drawing what it drew may do the same to the next. Anything else (-ENOMEM, -EFBIG, what
 * starting it gave) is not the fault of what was to be drawn. `e` tells in all cases. */
int drawer_draw(struct drawer *d, const struct screen_input *in, unsigned parts,
		struct screen_shot *shot, struct error *e);
/* Kills and reaps it. */
void drawer_end(struct drawer *d);
