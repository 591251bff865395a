/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal_client.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cli/foreground.h"
#include "cli/terminal.h"
#include "cli/terminal_in.h"
#include "cli/terminal_out.h"
#include "cli/terminal_signals.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#define TYPED_MAX     (4U * MiB) /* typed and not yet taken; the keys that detach are found in it */
#define READ_SIZE     (32U * 1024U)
#define TELL_AFTER_MS 50U   /* with the screen drawn */
#define TELL_MS       2000U /* or until a key is typed */
#define LAG_LOOK_MS   100

enum { P_ATTACH, P_SIGNALS, P_STDIN, P_OUT, N_POLL };

enum leaving { STAY, LEFT_BY_KEY, LEFT_BY_SIGNAL, LEFT_ALONE };

struct terminal_client {
	struct cli *cli;
	const struct terminal_client_options *o;
	struct attach_options attach_options;
	struct attach *attach;
	struct terminal terminal;
	struct terminal_in in;
	struct terminal_out out;
	struct terminal_keys keys;
	struct buffer typed; /* waits for room in the attachment */
	int signal_fd;
	bool shown; /* the terminal is the session's */
	bool gap;   /* in what it shows: the screen is to be drawn anew */
	uint64_t skipped;
	bool uncounted;     /* the next gap is not the terminal's fault */
	bool told, telling; /* which keys detach: over the screen, for a moment */
	uint64_t tell_at;   /* monotonic ms: when that begins, or ends; 0: never */
	enum leaving leaving;
	int signal; /* of LEFT_BY_SIGNAL */
};

/* --- output ---------------------------------------------------------------------------------- */

static int show(struct terminal_client *c, const uint8_t *bytes, size_t n)
{
	int r = terminal_out_add(&c->out, bytes, n);

	if (c->out.error != 0)
		c->leaving = LEFT_ALONE;
	attach_pause(c->attach, terminal_out_waiting(&c->out) >= TERMINAL_OUT_HIGH);
	return r;
}

static int on_output(void *data, enum frame_stream stream, const uint8_t *bytes, size_t n)
{
	struct terminal_client *c = data;

	attach_consumed(c->attach, stream, n);
	return show(c, bytes, n);
}

static bool has_keys(const struct terminal_client *c)
{
	return c->o->keys_text && strcmp(c->o->keys_text, "none") != 0;
}

static int on_screen(void *data, const uint8_t *bytes, size_t n)
{
	struct terminal_client *c = data;

	c->uncounted = false;
	if (!c->told && has_keys(c))
		c->tell_at = clock_monotonic_ms() + TELL_AFTER_MS;
	return show(c, bytes, n);
}

static void on_dropped(void *data, enum frame_stream stream, uint64_t n)
{
	struct terminal_client *c = data;

	(void)stream;
	if (!c->uncounted)
		c->skipped += n;
	c->gap = c->shown && !attach_restores(c->attach);
}

static void draw_anew(struct terminal_client *c)
{
	size_t dropped = terminal_out_drop(&c->out);

	if (!c->uncounted)
		c->skipped += dropped;
	c->gap = c->telling = false;
	c->tell_at = 0;
	attach_refresh(c->attach);
}

/* In the last row, beside whatever the program has there. */
static void begin_telling(struct terminal_client *c)
{
	char keys[64], text[256];
	uint16_t rows, cols;
	int n;

	c->told = true;
	c->tell_at = 0;
	if (!terminal_size(&rows, &cols))
		return;
	(void)snprintf(keys, sizeof(keys), " reeve: %s detaches ", c->o->keys_text);
	n = snprintf(text, sizeof(text), "\0337\033[%u;1H\033[0;7m%.*s\033[0m\0338", rows, cols - 1,
		     keys);
	show(c, (const uint8_t *)text, (size_t)n);
	c->telling = true;
	c->tell_at = clock_monotonic_ms() + TELL_MS;
}

static void end_telling(struct terminal_client *c)
{
	c->uncounted = true;
	draw_anew(c);
}

static bool may_tell(const struct terminal_client *c)
{
	return c->tell_at != 0 && attach_state(c->attach) == ATTACH_UP && !attach_exit(c->attach);
}

static void tell(struct terminal_client *c)
{
	if (!may_tell(c) || clock_monotonic_ms() < c->tell_at)
		return;
	if (c->telling)
		end_telling(c);
	else
		begin_telling(c);
}

/* The session has ended meanwhile. */
static void take_back(struct terminal_client *c)
{
	char text[64];
	uint16_t rows, cols;

	if (!c->telling || !terminal_size(&rows, &cols))
		return;
	(void)snprintf(text, sizeof(text), "\0337\033[%u;1H\033[0m\033[2K\0338", rows);
	show(c, (const uint8_t *)text, strlen(text));
}

static void flush_output(struct terminal_client *c, bool writable)
{
	if (writable)
		terminal_out_flush(&c->out);
	if (c->out.error != 0)
		c->leaving = LEFT_ALONE;
	/* A terminal that cannot follow is shown where things stand, not how they came there. */
	if ((c->gap || terminal_out_lags(&c->out)) && attach_state(c->attach) == ATTACH_UP &&
	    !attach_exit(c->attach))
		draw_anew(c);
	attach_pause(c->attach, terminal_out_waiting(&c->out) >= TERMINAL_OUT_HIGH);
}

/* --- input ----------------------------------------------------------------------------------- */

static void pass_typed(struct terminal_client *c)
{
	struct iovec room[2];
	int pieces;

	while (c->typed.size > 0 && (pieces = attach_input_room(c->attach, room)) > 0) {
		size_t n = MIN(c->typed.size, room[0].iov_len);

		memcpy(room[0].iov_base, c->typed.data, n);
		attach_input_added(c->attach, n);
		buffer_consume(&c->typed, n);
	}
}

static void read_typed(struct terminal_client *c)
{
	uint8_t typed[READ_SIZE], kept[READ_SIZE + TERMINAL_KEYS_MAX];
	ssize_t n = terminal_in_read(&c->in, typed, sizeof(typed));
	bool detach = false;
	size_t k;

	if (n == -EINTR || n == -EAGAIN)
		return;
	if (n <= 0) {
		c->leaving = LEFT_ALONE;
		return;
	}
	if (c->telling)
		end_telling(c);
	k = terminal_keys_filter(&c->keys, typed, (size_t)n, kept, &detach);
	if (c->o->attach.read_only)
		detach |= memchr(kept, 'C' - '@', k) != NULL; /* there is nobody else to take it */
	else
		buffer_append(&c->typed, kept, k);
	if (detach)
		c->leaving = LEFT_BY_KEY;
}

/* --- signals --------------------------------------------------------------------------------- */

static void resize(struct terminal_client *c)
{
	uint16_t rows, cols;

	if (terminal_size(&rows, &cols))
		attach_resize(c->attach, rows, cols);
}

/* Comes to the terminal, or back to it: whatever is on it now is not the session's. */
static int enter(struct terminal_client *c, struct error *e)
{
	bool again = c->shown;
	int r = terminal_enter(&c->terminal, e);

	c->shown = true;
	c->out.held = false;
	terminal_in_renew(&c->in);
	if (again) {
		resize(c);
		c->uncounted = true;
		draw_anew(c);
	}
	terminal_out_flush(&c->out);
	if (r != -EIO)
		return r;
	c->leaving = LEFT_ALONE; /* as by SIGHUP, which is on its way */
	return 0;
}

static void suspend(struct terminal_client *c)
{
	terminal_out_flush(&c->out);
	c->out.held = true;
	terminal_leave(&c->terminal);
	raise(SIGSTOP);
}

static int on_signal(struct terminal_client *c, int signal, struct error *e)
{
	switch (signal) {
	case SIGWINCH:
		resize(c);
		return 0;
	case SIGTSTP:
		suspend(c);
		return enter(c, e);
	case SIGCONT: /* what stopped us could not be caught; others had the terminal meanwhile */
		if (!c->shown)
			return 0;
		terminal_leave(&c->terminal);
		return enter(c, e);
	case SIGHUP:
		c->leaving = LEFT_ALONE;
		return 0;
	default:
		break;
	}
	if (c->o->owner) {
		attach_signal(c->attach, signal);
	} else {
		c->leaving = LEFT_BY_SIGNAL;
		c->signal = signal;
	}
	return 0;
}

static int read_signals(struct terminal_client *c, struct error *e)
{
	struct signalfd_siginfo info;
	int r = 0;

	while (r == 0 && c->leaving == STAY &&
	       read(c->signal_fd, &info, sizeof(info)) == sizeof(info))
		r = on_signal(c, (int)info.ssi_signo, e);
	return r;
}

/* --- the loop -------------------------------------------------------------------------------- */

static int shorter(int a, int b)
{
	return a < 0 ? b : MIN(a, b);
}

static int left_until(uint64_t time)
{
	uint64_t now = clock_monotonic_ms();

	return time > now ? (int)(time - now) : 0;
}

static bool may_type(const struct terminal_client *c)
{
	return c->shown && c->typed.size + READ_SIZE < TYPED_MAX;
}

static int fill_poll(struct terminal_client *c, struct pollfd p[N_POLL])
{
	bool waiting = terminal_out_waiting(&c->out) > 0 && !c->out.held;
	int timeout = attach_timeout(c->attach);
	struct iovec room[2];

	if (may_tell(c))
		timeout = shorter(timeout, left_until(c->tell_at));
	p[P_ATTACH] = (struct pollfd){ attach_fd(c->attach), attach_events(c->attach), 0 };
	p[P_SIGNALS] = (struct pollfd){ c->signal_fd, POLLIN, 0 };
	p[P_STDIN] = (struct pollfd){ may_type(c) ? c->in.fd : -1, POLLIN, 0 };
	p[P_OUT] = (struct pollfd){ waiting ? c->out.fd : -1, POLLOUT, 0 };
	if (c->typed.size > 0 && attach_input_room(c->attach, room) > 0)
		return 0; /* there is room since the last turn */
	return waiting ? shorter(timeout, LAG_LOOK_MS) : timeout;
}

static bool is_finished(const struct terminal_client *c)
{
	if (c->leaving != STAY)
		return true;
	if (attach_state(c->attach) != ATTACH_OVER &&
	    (c->o->until_ended || !attach_exit(c->attach)))
		return false;
	return terminal_out_waiting(&c->out) == 0;
}

/* Where no screen is drawn over it. */
static void greet(const struct terminal_client *c)
{
	if (!c->o->attach.restore && has_keys(c))
		fprintf(stderr, "reeve: attached to %s; %s detaches\n", attach_session(c->attach),
			c->o->keys_text);
}

/* When nothing has come, nothing is read: whoever typed waits for the echo. */
static int step(struct terminal_client *c, const struct pollfd *p, struct error *e)
{
	if (attach_state(c->attach) != ATTACH_UP || p->fd < 0 || p->revents != 0)
		return attach_step(c->attach, e);
	attach_send(c->attach);
	return 0;
}

/* One round: what has happened, and what follows from it. */
static int turn(struct terminal_client *c, const struct pollfd p[N_POLL], struct error *e)
{
	int r = p[P_SIGNALS].revents ? read_signals(c, e) : 0;

	if (r == 0 && c->leaving == STAY && p[P_STDIN].revents)
		read_typed(c);
	if (r == 0 && c->leaving == STAY) {
		pass_typed(c);
		flush_output(c, p[P_OUT].revents != 0);
		tell(c);
		r = step(c, &p[P_ATTACH], e);
	}
	/* It may be over as soon as it is there: what it wrote is shown all the same. */
	if (r >= 0 && !c->shown && attach_state(c->attach) >= ATTACH_UP) {
		greet(c);
		r = enter(c, e);
	}
	return r;
}

static int loop(struct terminal_client *c, struct error *e)
{
	while (!is_finished(c)) {
		struct pollfd p[N_POLL];
		int r, timeout = fill_poll(c, p);

		if (poll(p, N_POLL, timeout) < 0 && errno != EINTR)
			return error_set_errno(e, ERROR_INTERNAL, errno, "poll");
		r = turn(c, p, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

/* What was typed before the keys that detach still goes to the session, as far as it takes it. */
static void say_goodbye(struct terminal_client *c)
{
	pass_typed(c);
	attach_detach(c->attach);
}

static int leave(struct terminal_client *c)
{
	const char *id = attach_session(c->attach);

	if (c->skipped > 0)
		fprintf(stderr,
			"reeve: %llu bytes came too fast for this terminal; `reeve logs %s` has the "
			"newest\n",
			(unsigned long long)c->skipped, id);
	if (c->typed.size > 0)
		fprintf(stderr, "reeve: %zu bytes that were typed were not taken\n", c->typed.size);
	switch (c->leaving) {
	case LEFT_BY_KEY:
		fprintf(stderr, "reeve: detached; the session goes on: reeve attach %s\n", id);
		return 0;
	case LEFT_BY_SIGNAL:
		return EXIT_SIGNAL + c->signal;
	case LEFT_ALONE:
		return EXIT_SIGNAL + SIGHUP;
	default:
		return foreground_ended_status(c->attach);
	}
}

static int prepare(struct terminal_client *c, struct error *e)
{
	int r = terminal_open(&c->terminal, e);

	if (r < 0)
		return r;
	r = terminal_in_open(&c->in, e);
	if (r < 0)
		return r;
	terminal_signals_hold(c->o->owner);
	c->signal_fd = terminal_signals_open(c->o->owner);
	if (c->signal_fd < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, c->signal_fd, "signalfd");
	terminal_out_open(&c->out, &c->terminal.shared->modes);
	c->out.held = true;
	c->keys = c->o->keys;
	c->attach_options = c->o->attach;
	c->attach_options.output = on_output;
	c->attach_options.screen = on_screen;
	c->attach_options.dropped = on_dropped;
	c->attach_options.data = c;
	terminal_size(&c->attach_options.rows, &c->attach_options.cols);
	if (attach_new(&c->attach, &c->attach_options) < 0)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "attach");
	return 0;
}

int terminal_client_run(struct cli *cli, const struct terminal_client_options *o,
			struct http_client *http)
{
	struct terminal_client c = {
		.cli = cli, .o = o, .signal_fd = -1, .out = { .fd = -1 }, .in = { .fd = -1 }
	};
	struct error e = { 0 };
	int status, r;

	buffer_init(&c.typed, TYPED_MAX);
	r = prepare(&c, &e);
	if (r == 0)
		r = attach_start(c.attach, http, &e);
	else
		http_client_close(http);
	if (r == 0)
		r = loop(&c, &e);
	if (c.attach) {
		take_back(&c);
		say_goodbye(&c);
	}
	terminal_close(&c.terminal);
	if (r == 0) {
		status = leave(&c);
	} else {
		cli_print_error(cli, &e);
		status = r == -ECONNREFUSED ? EXIT_UNREACHABLE : EXIT_FAILED;
	}
	attach_free(c.attach);
	terminal_out_close(&c.out);
	buffer_done(&c.typed);
	terminal_in_close(&c.in);
	fd_close(c.signal_fd);
	return status;
}
