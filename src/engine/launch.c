/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/launch.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/pty.h"
#include <errno.h>
#include <string.h>

#define KEEPERS_MAX 8U /* that may die over one session; then it has failed */

struct launch {
	int fds[N_LINK_FDS]; /* only the child's */
	unsigned asked;
};

/* One that is gone is as good as one that was asked: its successor is told again. */
static int ask(struct session *s, const int fds[N_LINK_FDS])
{
	struct link_message m = { .type = LINK_SPAWN, .slot = s->slot };
	int r;

	for (unsigned i = 0; i < N_LINK_FDS; i++)
		if (fds[i] >= 0)
			m.fds |= 1U << i;
	r = link_tell_fds(s->engine, &m, fds);
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

int launch_record(struct session *s, const int fds[N_LINK_FDS], struct error *err)
{
	int r = ask(s, fds);

	return r < 0 ? error_set_errno(err, ERROR_UNAVAILABLE, r, "ask the keeper for a process")
		     : 0;
}

int launch_begin(struct session *s, int fds[N_LINK_FDS], struct error *err)
{
	struct launch *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return error_set(err, ERROR_EXHAUSTED, "no memory for the session");
	r = launch_record(s, fds, err);
	if (r < 0) {
		free(l);
		return r;
	}
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		l->fds[i] = i < N_SLOT_FDS ? -1 : take_fd(&fds[i]);
	s->launch = l;
	return 0;
}

/* No keeper has taken the request, or the one that did has died and its successor found no trace of
 * a child. One that came to the gate may have been observed: it is not made twice. */
static bool is_lost(const struct control_slot *w)
{
	uint64_t spawn = word_load(&w->spawn);

	return spawn == SPAWN_NONE || (spawn == SPAWN_FAILED && word_load(&w->fail) == ECANCELED &&
				       word_load(&w->step) < STEP_GATE);
}

bool launch_again(struct session *s)
{
	struct launch *l = s->launch;
	_cleanup_(closep) int slave = -1;
	int fds[N_LINK_FDS];

	if (!l || !is_lost(s->words))
		return false;
	if (word_load(&s->words->stop.requested) != 0 || ++l->asked > KEEPERS_MAX)
		return false;
	memcpy(fds, l->fds, sizeof(fds));
	fds[SLOT_FD_MEMORY] = s->fds[SLOT_FD_MEMORY];
	fds[SLOT_FD_OUT] = s->fds[SLOT_FD_OUT];
	fds[SLOT_FD_EVENTS] = s->fds[SLOT_FD_EVENTS];
	if (session_is_pty(s)) {
		fds[SLOT_FD_SLAVE] = slave = pty_open_slave(s->fds[SLOT_FD_OUT]);
	} else {
		fds[SLOT_FD_IN] = s->fds[SLOT_FD_IN];
		fds[SLOT_FD_ERR] = s->fds[SLOT_FD_ERR];
	}
	log_info("%s: its keeper died before it ran; asking the next", s->id);
	return ask(s, fds) >= 0;
}

void launch_done(struct session *s)
{
	if (s->launch)
		link_close_fds(s->launch->fds);
	free(s->launch);
	s->launch = NULL;
}
