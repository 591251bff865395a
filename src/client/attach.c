/* SPDX-License-Identifier: Apache-2.0 */
#include "client/attach.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "client/api_error.h"
#include "client/attach_internal.h"
#include "client/uri.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HEADERS                                                                                    \
	"Connection: Upgrade\r\nUpgrade: " FRAME_PROTOCOL "\r\n" FRAME_SIGNALS_HEADER              \
	": numbered\r\n"
#define OUT_MAX          (512U * KiB)
#define RETRY_MS         20U
#define ANSWER_MS        5000 /* for the rest of a head whose first bytes are there */
#define DETACH_MS        1000
#define TARGET_MAX       4096U
#define ERROR_ANSWER_MAX (64U * KiB)

int attach_new(struct attach **ret, const struct attach_options *o)
{
	struct attach *a = malloc(sizeof(*a)); /* the large buffers need not be touched */

	if (!a)
		return -ENOMEM;
	memset(a, 0, offsetof(struct attach, input));
	memset(&a->input, 0, offsetof(struct attach_input, ring));
	memset(&a->out, 0, offsetof(struct attach, receive) - offsetof(struct attach, out));
	a->o = o;
	a->rows = o->rows;
	a->cols = o->cols;
	a->refresh = o->restore;
	a->fd = -1;
	a->memory.fd = -1;
	a->give_up_at = clock_monotonic_ms() + ATTACH_PATIENCE_MS;
	buffer_init(&a->out, OUT_MAX);
	*ret = a;
	return 0;
}

struct attach *attach_free(struct attach *a)
{
	if (!a)
		return NULL;
	a->http = http_client_close(a->http);
	fd_close(a->fd);
	attach_memory_done(&a->memory);
	buffer_done(&a->out);
	free(a);
	return NULL;
}

/* --- connecting ------------------------------------------------------------------------------ */

/* Where each stream is to go on; before the first START, what the options say. */
static int add_offsets(struct attach *a, struct buffer *b)
{
	char name[32], value[32];
	int r = uri_query(b, "from", a->o->from);

	for (unsigned s = 0; s < N_FRAME_STREAMS && r == 0; s++) {
		bool started = a->outputs[s].started;

		if (!started && !a->o->from_stream[s])
			continue;
		snprintf(name, sizeof(name), "from.%s", frame_stream_name(s));
		snprintf(value, sizeof(value), "%llu", (unsigned long long)a->outputs[s].next);
		r = uri_query(b, name, started ? value : a->o->from_stream[s]);
	}
	return r;
}

static int add_screen(const struct attach *a, struct buffer *b)
{
	char number[16];
	int r = uri_query(b, "restore", "screen");

	snprintf(number, sizeof(number), "%u", a->rows);
	if (r == 0 && a->rows > 0)
		r = uri_query(b, "rows", number);
	snprintf(number, sizeof(number), "%u", a->cols);
	if (r == 0 && a->rows > 0)
		r = uri_query(b, "cols", number);
	return r;
}

static int format_target(struct attach *a, struct buffer *b)
{
	const struct attach_options *o = a->o;
	char token[2 * FRAME_TOKEN + 1];
	int r = uri_session(b, attach_session(a), "/attach");

	if (r == 0)
		r = uri_query(b, "streams", o->streams);
	if (r == 0)
		r = a->refresh ? add_screen(a, b) : add_offsets(a, b);
	if (r == 0)
		r = uri_query(b, "mode", o->mode);
	if (r == 0 && o->read_only)
		r = uri_query(b, "readOnly", "true");
	if (r == 0 && o->steal && a->session[0] == '\0')
		r = uri_query(b, "steal", "true");
	if (r == 0 && !o->read_only)
		r = uri_query(b, "token", text_hex(o->token, FRAME_TOKEN, token));
	return r;
}

/* A terminal's client lets go what comes too fast. */
static bool reads_memory(const struct attach *a)
{
	return a->o->mode && strcmp(a->o->mode, "block") == 0 && !a->memory.refused;
}

static int send_request(struct attach *a, struct error *e)
{
	_cleanup_(buffer_done) struct buffer target;
	struct http_request rq = {
		.method = "GET",
		.headers = reads_memory(a) ? HEADERS FRAME_MEMORY_HEADER ": rings\r\n" : HEADERS,
	};
	int r;

	buffer_init(&target, TARGET_MAX);
	r = format_target(a, &target);
	if (r < 0)
		return error_set_errno(e, ERROR_TOO_LARGE, r, "attach to %s", a->o->session);
	rq.target = buffer_text(&target);
	r = http_client_send(a->http, &rq, e);
	a->restores = a->refresh;
	if (r == 0)
		a->state = ATTACH_HANDSHAKE;
	return r;
}

static bool is_passing(int r)
{
	return r == -ECONNRESET || r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EHOSTDOWN;
}

/* The connection is gone. 0 when it is worth another try; else `r`. */
static int lost(struct attach *a, int r, struct error *e)
{
	uint64_t now = clock_monotonic_ms();

	if (a->state == ATTACH_UP)
		a->give_up_at = now + ATTACH_PATIENCE_MS;
	a->http = http_client_close(a->http);
	a->fd = fd_close(a->fd);
	a->state = ATTACH_DOWN;
	a->retry_at = now + RETRY_MS;
	if (!is_passing(r))
		return r;
	if (now < a->give_up_at)
		return 0;
	error_set(e, ERROR_UNAVAILABLE,
		  "%s: no daemon for %u s; what it held may be gone (see `reeve daemon status`)",
		  attach_session(a), ATTACH_PATIENCE_MS / 1000);
	return -ECONNREFUSED;
}

static int connect_again(struct attach *a, struct error *e)
{
	int r = http_client_open(a->o->socket_path, &a->http, e);

	if (r == -ENOENT) /* the socket; for the API it is a session that is not there */
		r = -ECONNREFUSED;
	if (r == 0)
		r = send_request(a, e);
	return r < 0 ? lost(a, r, e) : 0;
}

int attach_start(struct attach *a, struct http_client *http, struct error *e)
{
	int r;

	if (!http)
		return connect_again(a, e);
	a->http = http;
	r = send_request(a, e);
	return r < 0 ? lost(a, r, e) : 0;
}

/* An answer that is not 101. */
static int refused(struct attach *a, const struct http_head *head, struct error *e)
{
	_cleanup_(buffer_done) struct buffer body;
	int status = head->status;
	int r;

	buffer_init(&body, ERROR_ANSWER_MAX);
	r = http_client_body_all(a->http, &body, e);
	if (r < 0)
		return r;
	return api_error(status, buffer_text(&body), body.size, NULL, e);
}

static int handshake(struct attach *a, struct error *e)
{
	const struct http_head *head;
	const void *rest;
	size_t n;
	int r;

	http_client_set_timeout(a->http, ANSWER_MS);
	r = http_client_head(a->http, &head, e);
	if (r == 0 && head->status != 101)
		r = refused(a, head, e);
	if (r < 0)
		return lost(a, r, e);
	a->fd = http_client_take_socket(a->http, &rest, &n);
	r = fd_set_nonblock(a->fd, true);
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "attach: fcntl");
	memcpy(a->receive, rest, n);
	a->http = http_client_close(a->http);
	attach_memory_done(&a->memory); /* it was the last connection's */
	a->decoder = (struct frame_decoder){ .from = FRAME_FROM_SERVER };
	buffer_consume(&a->out, a->out.size);
	a->out_sent = 0;
	attach_input_wait(&a->input);
	a->signals.open = a->signals.numbered = false;
	a->state = ATTACH_UP;
	attach_send_size(a);
	r = attach_decode(a, a->receive, n, e);
	return r < 0 ? lost(a, r, e) : 0;
}

static bool has_unacked(const struct attach *a)
{
	for (unsigned s = 0; s < N_FRAME_STREAMS && !a->o->read_only; s++)
		if (a->outputs[s].consumed > a->outputs[s].acked)
			return true;
	return false;
}

/* Little is acknowledged a little later, together with what comes meanwhile: each ACK wakes the
 * daemon. */
static bool is_ack_due(struct attach *a)
{
	uint64_t now = clock_monotonic_ms();

	if (!has_unacked(a))
		a->ack_at = 0;
	else if (a->ack_at == 0)
		a->ack_at = now + ATTACH_ACK_MS;
	if (a->ack_at == 0 || now < a->ack_at)
		return false;
	a->ack_at = 0;
	return true;
}

/* An ACK that has something to go with need not wake the daemon by itself. */
static void send_what_waits(struct attach *a)
{
	size_t before = a->out.size;
	bool due = is_ack_due(a); /* asked in any case: what has come due must not stay so */

	attach_send_signals(a);
	attach_send_input(a);
	attach_send_acks(a, due || a->paused || a->exited || a->out.size > before);
	attach_flush(a);
}

void attach_send(struct attach *a)
{
	if (a->state == ATTACH_UP)
		send_what_waits(a);
}

int attach_step(struct attach *a, struct error *e)
{
	struct pollfd p = { .fd = attach_fd(a), .events = POLLIN };
	int r = 0;

	if (a->state == ATTACH_DOWN && clock_monotonic_ms() >= a->retry_at)
		return connect_again(a, e);
	if (a->state == ATTACH_HANDSHAKE && poll(&p, 1, 0) > 0)
		r = handshake(a, e);
	/* frames may have come with the head, and there may be something to say to them */
	if (r < 0 || a->state != ATTACH_UP)
		return r;
	send_what_waits(a); /* first: whoever types waits for the echo */
	r = attach_receive(a, e);
	if (r >= 0 && a->state == ATTACH_UP)
		send_what_waits(a);
	return r < 0 ? lost(a, r, e) : 0;
}

/* --- the rest -------------------------------------------------------------------------------- */

int attach_fd(const struct attach *a)
{
	if (a->state == ATTACH_HANDSHAKE)
		return http_client_fd(a->http);
	/* a paused one must not wake its caller over a hangup that it would not look at */
	return a->state == ATTACH_UP && attach_events(a) != 0 ? a->fd : -1;
}

short attach_events(const struct attach *a)
{
	bool full = a->state == ATTACH_UP && a->out_sent < a->out.size;

	return (short)((a->paused ? 0 : POLLIN) | (full ? POLLOUT : 0));
}

int attach_timeout(const struct attach *a)
{
	uint64_t due = a->state == ATTACH_DOWN ? a->retry_at : a->ack_at;
	uint64_t now = clock_monotonic_ms();

	if (a->state != ATTACH_DOWN && (a->state != ATTACH_UP || due == 0))
		return -1;
	return now < due ? (int)(due - now) : 0;
}

void attach_pause(struct attach *a, bool paused)
{
	a->paused = paused;
}

enum attach_state attach_state(const struct attach *a)
{
	return a->state;
}

const struct frame *attach_exit(const struct attach *a)
{
	return a->exited ? &a->exit : NULL;
}

int attach_ended(const struct attach *a)
{
	return a->ended;
}

void attach_consumed(struct attach *a, enum frame_stream stream, size_t n)
{
	a->outputs[stream].consumed += n;
}

const char *attach_session(const struct attach *a)
{
	return a->session[0] ? a->session : a->o->session;
}

int attach_input_room(const struct attach *a, struct iovec room[2])
{
	return attach_input_pieces(&a->input, room);
}

void attach_input_added(struct attach *a, size_t n)
{
	a->input.end += n;
}

void attach_input_end(struct attach *a)
{
	a->input.ended = true;
}

void attach_signal(struct attach *a, int signal)
{
	struct attach_signals *q = &a->signals;

	if (q->n == SIGNALS_MAX)
		attach_forget_signals(q, 1);
	q->queue[q->n++] = signal;
	if (a->state == ATTACH_UP)
		attach_send_signals(a);
}

bool attach_signals_sent(const struct attach *a)
{
	return a->state == ATTACH_UP && a->signals.sent == a->signals.n && a->out.size == 0;
}

void attach_resize(struct attach *a, uint16_t rows, uint16_t cols)
{
	a->rows = rows;
	a->cols = cols;
	if (a->state == ATTACH_UP)
		attach_send_size(a);
}

bool attach_restores(const struct attach *a)
{
	return a->restores;
}

void attach_refresh(struct attach *a)
{
	if (a->state != ATTACH_UP && a->state != ATTACH_HANDSHAKE)
		return;
	a->refresh = true;
	a->paused = false;
	a->http = http_client_close(a->http);
	a->fd = fd_close(a->fd);
	a->state = ATTACH_DOWN;
	a->retry_at = clock_monotonic_ms();
	a->give_up_at = a->retry_at + ATTACH_PATIENCE_MS;
}

void attach_detach(struct attach *a)
{
	struct pollfd p = { .fd = a->fd, .events = POLLOUT };

	if (a->fd < 0)
		return;
	attach_send_acks(a, true);
	if (a->state == ATTACH_UP) {
		attach_send_input(a);
		attach_put(a, &(struct frame){ .type = FRAME_DETACH });
	}
	for (attach_flush(a); a->out.size > 0 && poll(&p, 1, DETACH_MS) > 0; attach_flush(a))
		;
	a->state = ATTACH_OVER;
}
