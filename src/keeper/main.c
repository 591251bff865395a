/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - reeve-keeper: arguments, start, the poll loop, the end. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/slice.h"
#include "core/cgroup.h"
#include "keeper/keeper.h"
#include "keeper/setup.h"
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ADOPTED_POLL_MS 50
#define QUIT_MAX_MS     30000U

static void on_signals(struct keeper *k)
{
	struct signalfd_siginfo si;

	while (read(k->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		if (si.ssi_signo == SIGHUP)
			continue; /* a terminal that went away is nothing to us */
		log_info("%s: stopping", strsignal((int)si.ssi_signo));
		k->quitting = QUIT_STOP;
	}
	reap_children(k);
}

/* Tells the engine to end the sessions and leave; it has its time for it. */
static void quit_begin(struct keeper *k)
{
	struct link_message m = { .type = LINK_QUIT, .arg = (uint64_t)k->quitting };

	if (k->quit_deadline == 0) {
		k->quit_deadline = clock_monotonic_ms() + QUIT_MAX_MS;
		k->quit_told = false;
	}
	/* Its queue may be full: then again in the next round. */
	if (!k->quit_told && k->engine.pid != 0)
		k->quit_told = engine_send(k, &m, NULL) >= 0;
}

/* The engine has left: goes to rest, or ends what it did not end and leaves too. */
static void quit_step(struct keeper *k)
{
	uint64_t now = clock_monotonic_ms();
	bool left = false;

	if (k->engine.pid != 0) {
		if (now > k->quit_deadline && k->engine.pidfd >= 0)
			syscall(SYS_pidfd_send_signal, k->engine.pidfd, SIGKILL, NULL, 0);
		return;
	}
	if (k->quitting == QUIT_KEEP) {
		k->quitting = QUIT_NOT;
		k->quit_deadline = 0;
		k->parked = true;
		word_store(&k->daemon->parked, 1);
		setup_write_lock(k);
		return;
	}
	for (unsigned i = 1; i <= k->top_slot; i++)
		left |= stopper_kill_now(k, i);
	left = left || strangers_end(k, now);
	k->done = !left || now > k->quit_deadline + QUIT_MAX_MS;
}

static int least(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static int timeout_of(struct keeper *k, uint64_t now)
{
	const struct engine_process *e = &k->engine;
	int t = least(stopper_timeout(k, clock_boottime_ms()), spawning_timeout(k));

	if (e->pid != 0) {
		uint64_t due = e->pinged ? e->pinged + PONG_MS : e->heard + PING_MS;

		t = least(t, due > now ? (int)(due - now) : 0);
	} else if (e->start_at != 0) {
		t = least(t, e->start_at > now ? (int)(e->start_at - now) : 0);
	}
	t = least(t, passing_timeout(k, now));
	if (k->quitting != QUIT_NOT)
		t = least(t, 20);
	if (k->adopted)
		t = least(t, ADOPTED_POLL_MS);
	return t;
}

enum { P_SIGNALS, P_ENGINE, P_ENGINE_PID, P_SPAWNER, P_LISTEN, P_PASSING, P_SOCKET, P_GATES };

static unsigned fill_poll(struct keeper *k, struct pollfd *p, struct spawn_job **gates)
{
	unsigned n = P_GATES;
	short out = k->n_dirty > 0 || k->lent_lost ? POLLOUT : 0;

	p[P_SIGNALS] = (struct pollfd){ .fd = k->signal_fd, .events = POLLIN };
	p[P_ENGINE] = (struct pollfd){ .fd = k->engine.sock, .events = (short)(POLLIN | out) };
	p[P_ENGINE_PID] =
		(struct pollfd){ .fd = k->engine.child ? -1 : k->engine.pidfd, .events = POLLIN };
	p[P_SPAWNER] = (struct pollfd){ .fd = k->spawner.sock, .events = POLLIN };
	p[P_LISTEN] = (struct pollfd){ .fd = k->parked ? k->daemon_fds[DAEMON_FD_LISTEN] : -1,
				       .events = POLLIN };
	p[P_PASSING] = (struct pollfd){ .fd = k->passing - 1, .events = POLLIN };
	p[P_SOCKET] = (struct pollfd){ .fd = k->socket_watch, .events = POLLIN };
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k->jobs[i].slot != 0 && k->jobs[i].gate_w >= 0 && k->jobs[i].gate_r < 0) {
			gates[n - P_GATES] = &k->jobs[i];
			p[n++] = (struct pollfd){ .fd = k->jobs[i].gate_w, .events = POLLIN };
		}
	return n;
}

/* A client: the sessions are wanted again. */
static void unpark(struct keeper *k)
{
	if (!k->parked)
		return;
	k->parked = false;
	word_store(&k->daemon->parked, 0);
	setup_write_lock(k);
	k->engine.start_at = clock_monotonic_ms();
	program_try_new(k);
}

static void dispatch(struct keeper *k, const struct pollfd *p, unsigned n, struct spawn_job **gates)
{
	if (p[P_SPAWNER].revents)
		spawning_readable(k);
	if (p[P_ENGINE].revents & (POLLIN | POLLHUP | POLLERR))
		engine_readable(k);
	if (p[P_ENGINE].revents & POLLOUT) {
		slots_flush(k);
		lending_flush(k);
	}
	if (p[P_SIGNALS].revents)
		on_signals(k);
	if (p[P_ENGINE_PID].revents && k->engine.pid != 0 && !k->engine.child)
		engine_died(k, false);
	if (p[P_LISTEN].revents)
		unpark(k);
	if (p[P_PASSING].revents)
		passing_readable(k);
	if (p[P_SOCKET].revents)
		socket_event(k);
	for (unsigned i = P_GATES; i < n; i++)
		if (p[i].revents && gates[i - P_GATES]->slot != 0)
			spawning_gate_event(k, gates[i - P_GATES]);
}

static void loop(struct keeper *k)
{
	while (!k->done) {
		struct pollfd p[P_GATES + KEEPER_JOBS];
		struct spawn_job *gates[KEEPER_JOBS];
		unsigned n;
		int timeout;
		uint64_t now, slept;

		engine_start_due(k);
		now = clock_monotonic_ms();
		passing_check(k, now); /* before an engine that was started takes calls, too */
		n = fill_poll(k, p, gates);
		timeout = timeout_of(k, now);
		if (poll(p, n, timeout) > 0)
			dispatch(k, p, n, gates);
		slept = clock_monotonic_ms() - now;
		now += slept;
		/* A keeper that was itself held up has no right to call others slow. */
		if (timeout >= 0 && slept > (uint64_t)timeout + 2000)
			k->engine.heard = now, k->engine.pinged = 0;
		if (timeout >= 0 && slept > (uint64_t)timeout)
			spawning_held_up(k, now, slept - (uint64_t)timeout);
		engine_check(k, now);
		spawning_check(k, now);
		if (k->adopted)
			reap_adopted(k, now);
		stopper_run(k, clock_boottime_ms());
		if (k->quitting != QUIT_NOT) {
			quit_begin(k);
			quit_step(k);
		}
	}
}

static int usage(FILE *to, int status)
{
	fputs("Usage: reeve-keeper --dir DIR [--engine PATH] [--foreground]\n"
	      "Holds the sessions of the reeve daemon in DIR. Started by `reeve daemon start`.\n",
	      to);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "engine", required_argument, NULL, 'e' },
		{ "adopt", required_argument, NULL, 'a' },
		{ "reads", required_argument, NULL, 'r' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static struct keeper keeper;
	struct setup_options o = { .adopt_fd = -1, .reads_fd = -1 };
	struct error e = { 0 };
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			o.dir = optarg;
			break;
		case 'e':
			o.engine = optarg;
			break;
		case 'a':
			o.adopt_fd = atoi(optarg);
			break;
		case 'r':
			o.reads_fd = atoi(optarg);
			break;
		case 'f':
			o.foreground = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (!o.dir || optind != argc)
		return usage(stderr, 2);
	r = setup(&keeper, &o, &e);
	if (r < 0) {
		log_error("%s", e.message);
		fprintf(stderr, "reeve-keeper: %s\n", e.message);
		return e.code == ERROR_ALREADY_EXISTS ? 3 : 1;
	}
	slice_shorten(); /* it never computes for long, and each start and end passes through it */
	loop(&keeper);
	setup_leave(&keeper);
	return 0;
}
