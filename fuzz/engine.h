/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - an engine in the middle of its life, whose keeper is the fuzzer. */
#pragma once
#include "base/fd.h"
#include "base/log.h"
#include "core/pipes.h"
#include "engine/attachment.h"
#include "engine/budget.h"
#include "engine/session.h"
#include "input.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

static struct engine e;
static int keeper; /* its end of the link */

static inline void prepare_engine(void)
{
	int pair[2];

	log_set(-1, LEVEL_ERROR, "fuzz");
	signal(SIGPIPE, SIG_IGN);
	e.memory = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(e.memory != MAP_FAILED);
	e.daemon = control_daemon(e.memory);
	e.dir = "/nonexistent";
	e.roster.fd = -1;
	for (unsigned i = 0; i < N_DAEMON_FDS; i++)
		e.daemon_fds[i] = -1;
	must(uv_loop_init(&e.loop) == 0);
	must(uv_timer_init(&e.loop, &e.leaving) == 0);
	e.leaving.data = &e;
	housekeeping_init(&e);
	budget_init(&e);
	cgroups_init(&e);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	e.link.sock = pair[0];
	keeper = pair[1];
	must(pipe_make(pair, 1, 1, 0) == 0);
	e.capture = (struct capture){ .daemon = e.daemon, .pipe_r = pair[0], .pipe_w = pair[1] };
	must(pipe_make(pair, 1, 1, 0) == 0);
	e.feed = (struct feed){ .daemon = e.daemon, .pipe_r = pair[0], .pipe_w = pair[1] };
}

static inline void drain_link(void)
{
	struct link_message m;
	int table[N_LINK_FDS];

	while (link_receive(keeper, &m, table) > 0)
		link_close_fds(table);
}

static inline void turn(unsigned times)
{
	while (times-- > 0)
		uv_run(&e.loop, UV_RUN_NOWAIT);
	drain_link();
}
