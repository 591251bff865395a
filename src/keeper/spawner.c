/* SPDX-License-Identifier: Apache-2.0 */
/* spawner.c - a process that does nothing but clone children for the keeper, one at a time.
 *
 * It may hang in an execve or chdir on a dead file system; the keeper then abandons it. */
#include "base/fd.h"
#include "base/slice.h"
#include "keeper/keeper.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define REQUEST_FDS_MAX 6 /* in, out, err, spec, cgroup, gate */

/* Sorts the received descriptors by the request's set; false when the numbers do not agree. */
static bool sort_fds(const struct spawner_request *rq, const int *fds, size_t n_fds,
		     int table[N_LINK_FDS + 1])
{
	size_t used = 0;

	for (unsigned i = 0; i <= N_LINK_FDS; i++) {
		table[i] = -1;
		if (rq->fds & 1U << i && used < n_fds)
			table[i] = fds[used++];
	}
	return used == n_fds;
}

static int serve(const struct spawner_request *rq, const int table[N_LINK_FDS + 1], void *memory,
		 struct spec_view *view)
{
	struct spawn_fds fds = {
		.in = table[SLOT_FD_CHILD_IN],
		.out = table[SLOT_FD_CHILD_OUT],
		.err = table[SLOT_FD_CHILD_ERR],
		.cgroup = table[SLOT_FD_CGROUP],
		.goes_there = rq->goes_there != 0,
		.gate = table[N_LINK_FDS],
	};
	int r;

	if (rq->slot == 0 || rq->slot >= CONTROL_SLOTS)
		return -EBADMSG;
	r = spec_open(view, table[SLOT_FD_SPEC]);
	if (r < 0)
		return r;
	if (fds.err < 0)
		fds.err = fds.out; /* merged */
	return spawn_child(control_slot(memory, rq->slot), view, &fds);
}

_Noreturn void spawner_main(int sock, void *memory)
{
	/* When the keeper is gone nobody will ever ask again. The socket says so too; this also
	 * covers a spawner that hangs. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, SPAWNER_NAME);
	word_hook_role(memory, ROLE_SPAWNER);
	spawn_prepare();
	slice_shorten();
	for (;;) {
		struct spawner_request rq = { 0 };
		struct spawner_reply reply = { 0 };
		struct spec_view view = { 0 };
		int fds[REQUEST_FDS_MAX], table[N_LINK_FDS + 1];
		size_t n_fds = 0;
		ssize_t n = fd_recv(sock, &rq, sizeof(rq), fds, REQUEST_FDS_MAX, &n_fds);

		if (n == -EINTR)
			continue;
		if (n != sizeof(rq))
			_exit(n == 0 ? 0 : 1);
		reply.slot = rq.slot;
		reply.result = sort_fds(&rq, fds, n_fds, table) ? serve(&rq, table, memory, &view)
								: -EBADMSG;
		/* First: somebody waits for it. */
		if (fd_send(sock, &reply, sizeof(reply), NULL, 0) < 0)
			_exit(1);
		spec_close(&view);
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
	}
}
