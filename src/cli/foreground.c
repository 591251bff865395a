/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/foreground.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cli/outlet.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define PIPE_GRACE_MS      1000U /* for the command to end by its SIGPIPE */
#define FOREGROUND_LOOK_MS 500   /* a job in the background looks so often whether it may read */
#define STUCK_MS           2000U /* without a byte written, after a signal that ends most commands */
#define CAUSE_TIMEOUT      4

enum { P_ATTACH, P_SIGNALS, P_STDIN, P_OUTLETS, N_POLL = P_OUTLETS + 2 };

struct foreground {
	struct cli *cli;
	const struct foreground_options *o;
	struct attach_options attach_options;
	struct attach *attach;
	struct outlet outlets[2];
	enum frame_stream streams[2]; /* what the outlets write */
	int signal_fd;
	int stdin_fd; /* -1 when no more is read */
	bool stdin_own, stdin_terminal;
	uint64_t stop_at;  /* monotonic ms; 0: our stdout is read */
	uint64_t stuck_at; /* monotonic ms; 0: no signal that ends a command was passed on */
	bool abandoned;
	bool suspend; /* this process stops as soon as the session was told to */
	int leave;    /* signal by which we were told to leave, or -1: the terminal is gone */
};

static void signals_of(bool owner, sigset_t *set)
{
	static const int passed[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGWINCH,
				      SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP };
	size_t n = owner ? ARRAY_SIZE(passed) : 4;
	struct sigaction action;

	sigemptyset(set);
	/* What was ignored from the start, as by nohup(1), stays ignored. */
	for (size_t i = 0; i < n; i++)
		if (sigaction(passed[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(set, passed[i]);
}

void foreground_hold_signals(bool owner)
{
	sigset_t set;

	signals_of(owner, &set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* --- output ---------------------------------------------------------------------------------- */

static void check_outlet(struct foreground *f, const struct outlet *outlet)
{
	if (outlet->error == 0 || f->stop_at != 0)
		return;
	f->stop_at = clock_monotonic_ms();
	if (outlet->error != EPIPE)
		fprintf(stderr, "reeve: write to %s: %s\n",
			outlet == &f->outlets[0] ? "stdout" : "stderr",
			strerrordesc_np(outlet->error));
	if (f->o->owner) {
		attach_signal(f->attach, SIGPIPE);
		f->stop_at += PIPE_GRACE_MS;
	}
}

static void consumed(struct foreground *f, unsigned outlet, size_t n)
{
	attach_consumed(f->attach, f->streams[outlet], n);
	if (n > 0 && f->stuck_at != 0)
		f->stuck_at = clock_monotonic_ms() + STUCK_MS;
}

static int on_output(void *data, enum frame_stream stream, const uint8_t *bytes, size_t n)
{
	struct foreground *f = data;
	unsigned i = stream == FRAME_STDERR;
	long done = outlet_write(&f->outlets[i], bytes, n);

	if (done < 0)
		return (int)done;
	f->streams[i] = stream;
	consumed(f, i, (size_t)done);
	check_outlet(f, &f->outlets[i]);
	attach_pause(f->attach, outlet_kept(&f->outlets[0]) >= OUTLET_HIGH ||
					outlet_kept(&f->outlets[1]) >= OUTLET_HIGH);
	return 0;
}

static void on_dropped(void *data, enum frame_stream stream, uint64_t n)
{
	(void)data;
	fprintf(stderr, "reeve: %llu bytes of %s are gone\n", (unsigned long long)n,
		frame_stream_name(stream));
}

static void flush_outlets(struct foreground *f)
{
	for (unsigned i = 0; i < 2; i++) {
		if (outlet_kept(&f->outlets[i]) == 0)
			continue;
		consumed(f, i, (size_t)outlet_flush(&f->outlets[i]));
		check_outlet(f, &f->outlets[i]);
	}
	attach_pause(f->attach, outlet_kept(&f->outlets[0]) >= OUTLET_HIGH ||
					outlet_kept(&f->outlets[1]) >= OUTLET_HIGH);
}

static bool all_written(const struct foreground *f)
{
	return outlet_kept(&f->outlets[0]) == 0 && outlet_kept(&f->outlets[1]) == 0;
}

/* --- input ----------------------------------------------------------------------------------- */

static void open_stdin(struct foreground *f)
{
	struct stat st;
	int anew;

	f->stdin_fd = f->o->input ? STDIN_FILENO : -1;
	if (!f->o->input || fstat(STDIN_FILENO, &st) < 0)
		return;
	f->stdin_terminal = isatty(STDIN_FILENO);
	if (!S_ISFIFO(st.st_mode) && !f->stdin_terminal)
		return;
	/* others may read from the same pipe: what poll(2) saw can be gone */
	anew = open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (anew >= 0) {
		f->stdin_fd = anew;
		f->stdin_own = true;
	}
}

static void close_stdin(struct foreground *f)
{
	if (f->stdin_own)
		close(f->stdin_fd);
	f->stdin_own = false;
	f->stdin_fd = -1;
}

/* A job in the background that reads from its terminal would be stopped for it. A terminal that is
 * not ours, or is gone, tells no group. */
static bool may_read(const struct foreground *f)
{
	pid_t group = f->stdin_terminal ? tcgetpgrp(STDIN_FILENO) : -1;

	return group < 0 || group == getpgrp();
}

static void read_stdin(struct foreground *f, short revents)
{
	struct iovec room[2];
	int pieces = attach_input_room(f->attach, room);
	ssize_t n;

	if (pieces == 0 || !may_read(f))
		return;
	n = readv(f->stdin_fd, room, pieces);
	if (n > 0) {
		attach_input_added(f->attach, (size_t)n);
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	} else if (f->stdin_terminal && (n < 0 || (revents & POLLHUP))) {
		f->leave = -1;
	} else {
		attach_input_end(f->attach);
		close_stdin(f);
	}
}

/* --- signals --------------------------------------------------------------------------------- */

static void on_signal(struct foreground *f, const struct signalfd_siginfo *info)
{
	int signal = (int)info->ssi_signo;

	if (!f->o->owner || signal == SIGHUP) {
		f->leave = signal;
		return;
	}
	attach_signal(f->attach, signal);
	if (signal == SIGINT || signal == SIGQUIT || signal == SIGTERM)
		f->stuck_at = clock_monotonic_ms() + STUCK_MS;
	if (signal == SIGTSTP && info->ssi_code == SI_KERNEL) {
		/* Ctrl-Z: the shell waits for this process to stop, too. The session's processes
		 * are a group that no shell controls, where SIGTSTP alone stops nobody. */
		attach_signal(f->attach, SIGSTOP);
		f->suspend = true;
	}
}

static void read_signals(struct foreground *f)
{
	struct signalfd_siginfo info;

	while (f->leave == 0 && read(f->signal_fd, &info, sizeof(info)) == sizeof(info))
		on_signal(f, &info);
}

/* --- the loop -------------------------------------------------------------------------------- */

static int shorter(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : MIN(a, b);
}

/* ms; -1 for a time that is not set. */
static int left_until(uint64_t time)
{
	uint64_t now = clock_monotonic_ms();

	if (time == 0)
		return -1;
	return time > now ? (int)(time - now) : 0;
}

static int fill_poll(struct foreground *f, struct pollfd p[N_POLL])
{
	int timeout = attach_timeout(f->attach);
	struct iovec room[2];

	p[P_ATTACH] = (struct pollfd){ attach_fd(f->attach), attach_events(f->attach), 0 };
	p[P_SIGNALS] = (struct pollfd){ f->signal_fd, POLLIN, 0 };
	p[P_STDIN] = (struct pollfd){ -1, POLLIN, 0 };
	if (f->stdin_fd >= 0 && attach_input_room(f->attach, room) > 0) {
		if (may_read(f))
			p[P_STDIN].fd = f->stdin_fd;
		else
			timeout = shorter(timeout, FOREGROUND_LOOK_MS);
	}
	for (unsigned i = 0; i < 2; i++)
		p[P_OUTLETS + i] =
			(struct pollfd){ outlet_kept(&f->outlets[i]) > 0 ? f->outlets[i].fd : -1,
					 POLLOUT, 0 };
	if (!all_written(f))
		timeout = shorter(timeout, left_until(f->stuck_at));
	return shorter(timeout, left_until(f->stop_at));
}

/* The session has said all that it is going to say to us, and it is written. */
static bool is_finished(const struct foreground *f)
{
	if (f->leave != 0 || f->abandoned)
		return true;
	if (f->stop_at != 0 && clock_monotonic_ms() >= f->stop_at)
		return true;
	if (attach_state(f->attach) != ATTACH_OVER &&
	    (f->o->until_ended || !attach_exit(f->attach)))
		return false;
	return all_written(f);
}

/* Nobody has read our stdout since a signal was passed on that ends most commands. Where the
 * command did end, it would not have waited for its reader, so nor do we: the rest stays in the
 * session. */
static bool is_abandoned(struct foreground *f)
{
	json_t *session = NULL;
	bool alive;

	if (f->stuck_at == 0 || all_written(f) || clock_monotonic_ms() < f->stuck_at)
		return false;
	f->stuck_at = clock_monotonic_ms() + STUCK_MS;
	if (cli_call_session(f->cli, "GET", attach_session(f->attach), "", NULL, &session, NULL) <
	    0)
		return false;
	alive = json_is_true(json_object_get(session, "treeAlive"));
	json_decref(session);
	return !alive;
}

static int loop(struct foreground *f, struct error *e)
{
	while (!is_finished(f)) {
		struct pollfd p[N_POLL];
		int r, timeout = fill_poll(f, p);

		if (poll(p, N_POLL, timeout) < 0 && errno != EINTR)
			return error_set_errno(e, ERROR_INTERNAL, errno, "poll");
		if (p[P_SIGNALS].revents)
			read_signals(f);
		if (p[P_STDIN].revents)
			read_stdin(f, p[P_STDIN].revents);
		flush_outlets(f);
		f->abandoned = is_abandoned(f);
		r = attach_step(f->attach, e);
		if (r < 0)
			return r;
		if (f->suspend && attach_signals_sent(f->attach)) {
			f->suspend = false;
			raise(SIGSTOP);
		}
	}
	return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

/* Nobody reads our stdout any more. */
static int closed_status(struct foreground *f)
{
	int error = f->outlets[0].error ? f->outlets[0].error : f->outlets[1].error;

	if (f->o->owner && !attach_exit(f->attach)) {
		struct error e = { 0 };

		if (cli_call_session(f->cli, "POST", attach_session(f->attach), "/stop",
				     json_pack("{s:s}", "reason", "nobody reads its output"), NULL,
				     &e) < 0)
			cli_print_error(f->cli, &e);
	}
	return error == EPIPE ? EXIT_SIGNAL + SIGPIPE : EXIT_FAILED;
}

static int exit_status(const struct attach *a, const struct frame *exit)
{
	if (exit->exit_known && exit->cause == CAUSE_TIMEOUT)
		return EXIT_TIMED_OUT;
	if (exit->exit_known)
		return cli_status_of(exit->exit_code);
	fprintf(stderr, "reeve: %s has ended, but nobody saw how\n", attach_session(a));
	return EXIT_FAILED;
}

int foreground_ended_status(const struct attach *a)
{
	const struct frame *exit = attach_exit(a);
	int reason = attach_ended(a);

	if (exit && reason != FRAME_STOLEN)
		return exit_status(a, exit);
	if (reason == FRAME_DETACHED)
		return 0;
	fprintf(stderr, "reeve: %s: %s\n", attach_session(a),
		reason == FRAME_STOLEN ? "another client has taken over"
				       : "the session was removed");
	return EXIT_FAILED;
}

static int leave_status(const struct foreground *f)
{
	if (f->leave == SIGINT || f->leave == SIGQUIT)
		fprintf(stderr, "\nreeve: detached; the session goes on: reeve attach %s\n",
			attach_session(f->attach));
	return EXIT_SIGNAL + (f->leave > 0 ? f->leave : SIGHUP);
}

/* Detached, the session needs no reader, and its exit is known soon. */
static int abandoned_status(struct foreground *f)
{
	struct error e = { 0 };
	json_t *answer = NULL, *code;
	int status = EXIT_FAILED;

	if (cli_call_session(f->cli, "POST", attach_session(f->attach), "/wait",
			     json_pack("{s:s}", "timeout", "5s"), &answer, &e) < 0)
		return cli_fail(f->cli, &e);
	code = json_object_get(answer, "exitCode");
	if (json_is_integer(code))
		status = cli_status_of(json_integer_value(code));
	json_decref(answer);
	return status;
}

static int finish(struct foreground *f)
{
	if (f->leave == 0 || !f->o->stops)
		attach_detach(f->attach);
	if (f->stop_at != 0)
		return closed_status(f);
	if (f->abandoned)
		return abandoned_status(f);
	return f->leave != 0 ? leave_status(f) : foreground_ended_status(f->attach);
}

static int prepare(struct foreground *f, struct error *e)
{
	sigset_t set;

	foreground_hold_signals(f->o->owner);
	signals_of(f->o->owner, &set);
	f->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signal_fd < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, errno, "signalfd");
	open_stdin(f);
	outlet_open(&f->outlets[0], STDOUT_FILENO);
	outlet_open(&f->outlets[1], STDERR_FILENO);
	f->attach_options = f->o->attach;
	f->attach_options.output = on_output;
	f->attach_options.dropped = on_dropped;
	f->attach_options.data = f;
	if (attach_new(&f->attach, &f->attach_options) < 0)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "attach");
	return 0;
}

int foreground_run(struct cli *cli, const struct foreground_options *o, struct http_client *http)
{
	struct foreground f = { .cli = cli, .o = o, .signal_fd = -1, .stdin_fd = -1 };
	struct error e = { 0 };
	int status, r = prepare(&f, &e);

	if (r == 0)
		r = attach_start(f.attach, http, &e);
	else
		http_client_close(http);
	if (r == 0)
		r = loop(&f, &e);
	if (r == 0) {
		status = finish(&f);
	} else {
		cli_print_error(cli, &e);
		status = r == -ECONNREFUSED ? EXIT_UNREACHABLE : EXIT_FAILED;
	}
	attach_free(f.attach);
	close_stdin(&f);
	outlet_close(&f.outlets[0]);
	outlet_close(&f.outlets[1]);
	fd_close(f.signal_fd);
	return status;
}
