/* SPDX-License-Identifier: Apache-2.0 */
/* attach_send.c - what an attached client is told: output from its cursors, exit, end, input taken.
 */
#include "base/fd.h"
#include "engine/attachment_private.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define OUTPUT_MAX (256U * 1024U) /* bytes of one OUTPUT frame to a block cursor */
#define COPIED_MAX (64U * 1024U)  /* the same where a slow client needs a copy */

#define ACCEPTED_SOON (FRAME_INPUT_WINDOW / 4) /* so much is told at once, */
#define ACCEPTED_MS   5U                       /* less of it waits so long for output */

enum frame_stream attach_stream(const struct attachment *a, unsigned stream)
{
	if (word_load(&a->session->words->kind) == KIND_PTY)
		return FRAME_PTY;
	return stream == STREAM_OUT ? FRAME_STDOUT : FRAME_STDERR;
}

void attach_push(struct attachment *a, const struct frame *f)
{
	uint8_t bytes[FRAME_ENCODED_MAX];
	int n = frame_encode(f, bytes);

	attach_complete_body(a); /* a frame that is half sent comes first */
	if (n < 0 || buffer_append(&a->out, bytes, (size_t)n) < 0)
		a->finished = true; /* it takes nothing, not even control frames: gone */
}

/* --- sending
 * -------------------------------------------------------------------------------------------- */

/* Sends what waits: encoded frames, then the body that stands in the ring. Returns 1 when all is
 * sent, 0 when the socket is full, negative when the client is gone. */
static int flush(struct attachment *a)
{
	while (a->out.size > 0 || a->body_left > 0) {
		struct iovec v[3];
		struct msghdr m = { .msg_iov = v };
		union attach_control control;
		ssize_t n;

		if (a->out.size > 0)
			v[m.msg_iovlen++] = (struct iovec){ a->out.data, a->out.size };
		if (a->body_left > 0) {
			struct cursor *c = &a->cursors[a->body_stream];

			m.msg_iovlen += (size_t)ring_pieces(c->ring, c->offset, a->body_left,
							    v + m.msg_iovlen);
		}
		attach_add_descriptor(a, &m, &control);
		n = sendmsg(a->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno != ETOOMANYREFS || a->loan.fd < 0))
			return errno == EAGAIN ? 0 : -errno;
		/* With too many on their way it stays here, and the client does without. */
		a->loan.fd = fd_close(a->loan.fd);
		if (n < 0)
			continue;
		if ((size_t)n < a->out.size) {
			buffer_consume(&a->out, (size_t)n);
			continue;
		}
		n -= (ssize_t)a->out.size;
		buffer_consume(&a->out, a->out.size);
		if (a->body_left > 0) {
			a->cursors[a->body_stream].offset += (uint64_t)n;
			a->body_left -= (uint64_t)n;
		}
	}
	return 1;
}

/* Bytes that a client with an acknowledged window may be sent now. */
static uint64_t window(const struct attachment *a, unsigned stream)
{
	uint64_t out;

	if (a->mode != ATTACH_BLOCK)
		return UINT64_MAX;
	out = a->cursors[stream].offset - word_load(&a->session->words->streams[stream].acked);
	return out < FRAME_OUTPUT_WINDOW ? FRAME_OUTPUT_WINDOW - out : 0;
}

/* Up to where a stream goes before EXIT must be said. */
static uint64_t stream_limit(const struct attachment *a, unsigned stream)
{
	const struct control_stream *w = &a->session->words->streams[stream];
	uint64_t head = word_load(&w->head), end = word_load(&w->leader_end);

	if (a->exit_sent || !session_exited(a->session) || end == 0)
		return head;
	return end - 1 < head ? end - 1 : head;
}

static void push_output(struct attachment *a, unsigned stream, uint64_t n)
{
	struct cursor *c = &a->cursors[stream];
	struct frame f = { .type = FRAME_OUTPUT, .stream = attach_stream(a, stream) };
	struct iovec view[2];
	int pieces;

	if (a->mode == ATTACH_BLOCK) {
		f.size = (uint32_t)MIN(n, (uint64_t)OUTPUT_MAX);
		a->loan.sent += f.size;
		attach_push(a, &f);
		a->body_stream = stream;
		a->body_left = f.size;
		return;
	}
	/* The writer may lap this cursor while a frame is half sent: it gets a copy. */
	f.size = (uint32_t)MIN(n, (uint64_t)COPIED_MAX);
	attach_push(a, &f);
	pieces = ring_pieces(c->ring, c->offset, f.size, view);
	for (int i = 0; i < pieces; i++)
		if (buffer_append(&a->out, view[i].iov_base, view[i].iov_len) < 0)
			a->finished = true;
	c->offset += f.size;
}

/* Puts the next piece of a stream into the queue; false when there is none. */
static bool next_output(struct attachment *a, unsigned stream)
{
	struct cursor *c = &a->cursors[stream];
	uint64_t skipped, limit, n;

	if (!a->want[stream])
		return false;
	if (attach_screen_pending(a))
		return attach_screen_next(a);
	if (attach_screen_lapped(a))
		return true;
	skipped = cursor_catch_up(c);
	if (skipped > 0) {
		struct frame f = { .type = FRAME_DROPPED,
				   .stream = attach_stream(a, stream),
				   .offset = skipped };

		attach_push(a, &f);
		return true;
	}
	limit = stream_limit(a, stream);
	if (c->offset >= limit)
		return false;
	n = MIN(limit - c->offset, window(a, stream));
	if (n == 0)
		return false;
	if (a->loan.made)
		return attach_tell_written(a, stream, n);
	if (attach_lend(a))
		return true;
	attach_push_accepted(a);
	push_output(a, stream, n);
	return true;
}

static void push_exit(struct attachment *a)
{
	struct exitinfo x = session_exitinfo(a->session);
	struct frame f = {
		.type = FRAME_EXIT,
		.exit_known = x.known,
		.exit_code = x.code,
		.outcome = (uint8_t)session_outcome(a->session),
		.cause = (uint8_t)session_cause(a->session),
	};

	attach_push(a, &f);
	a->exit_sent = true;
}

/* All that the leader wrote has been queued for this client. */
static bool leader_sent(const struct attachment *a)
{
	if (attach_screen_pending(a))
		return false;
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (a->want[i] && a->cursors[i].offset < stream_limit(a, i))
			return false;
	return true;
}

/* Who reads the ring itself has not read yet what it was told of. */
static bool is_unread(const struct attachment *a, unsigned stream)
{
	return a->loan.made &&
	       word_load(&a->session->words->streams[stream].acked) < a->cursors[stream].offset;
}

static bool streams_over(const struct attachment *a)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (a->want[i] &&
		    (!word_load(&a->session->words->streams[i].ended) ||
		     a->cursors[i].offset < ring_head(a->cursors[i].ring) || is_unread(a, i)))
			return false;
	return true;
}

/* What the client may count as taken: never so much that more than the ring holds could follow. */
static uint64_t accepted_offset(const struct attachment *a)
{
	uint64_t taken = word_load(&a->session->words->in_accepted);
	uint64_t upto = word_load(&a->session->words->in_delivered) + FRAME_INPUT_WINDOW;

	return MAX(MIN(taken, upto), a->accepted_told);
}

void attach_push_accepted(struct attachment *a)
{
	struct frame f = { .type = FRAME_ACCEPTED, .stream = FRAME_STDIN };

	if (!a->controlling || !a->session || a->ending)
		return;
	f.offset = accepted_offset(a);
	if (f.offset == a->accepted_told)
		return;
	a->accepted_told = f.offset;
	uv_timer_stop(&a->accepted_timer);
	attach_push(a, &f);
}

static void on_accepted_late(uv_timer_t *timer)
{
	struct attachment *a = timer->data;

	attach_push_accepted(a);
	if (!(a->events & UV_WRITABLE))
		attach_pump(a);
}

void attach_offer_accepted(struct attachment *a)
{
	if (!a->controlling || !a->session || a->ending)
		return;
	if (!session_is_pty(a->session) || accepted_offset(a) - a->accepted_told >= ACCEPTED_SOON)
		attach_push_accepted(a);
	else if (accepted_offset(a) != a->accepted_told &&
		 !uv_is_active((uv_handle_t *)&a->accepted_timer))
		uv_timer_start(&a->accepted_timer, on_accepted_late, ACCEPTED_MS, 0);
}

/* Queues whatever comes next; false when there is nothing to say now. */
static bool next_frame(struct attachment *a)
{
	bool some = false;

	for (unsigned i = 0; i < STREAMS_MAX && a->body_left == 0; i++)
		some |= next_output(a, i);
	if (some)
		return true;
	if (!a->exit_sent && session_exited(a->session) && leader_sent(a)) {
		push_exit(a);
		return true;
	}
	if (a->exit_sent && !a->ending && streams_over(a) && !session_tree_alive(a->session)) {
		attachment_end(a, FRAME_SESSION_EXITED);
		return true;
	}
	return false;
}

/* ENDED is on its way. The client sees the end of the stream behind it, says how much it has read,
 * and closes; one that does not close keeps nothing but its place among the connections. */
static void leave(struct attachment *a)
{
	if (a->leaving)
		return;
	a->leaving = true;
	if (a->deaf || !a->session)
		a->finished = true;
	else
		shutdown(a->fd, SHUT_WR);
}

void attach_pump(struct attachment *a)
{
	int r = 1;

	while (!a->finished) {
		r = flush(a);
		if (r <= 0)
			break;
		if (a->ending || !a->session) {
			leave(a);
			break;
		}
		if (!next_frame(a))
			break;
	}
	if (r < 0)
		attach_hear_last_words(a);
	if (a->finished || r < 0)
		attach_finish(a);
	else
		attach_set_events(a, (a->stuck ? 0 : UV_READABLE) | (r == 0 ? UV_WRITABLE : 0));
}

void attach_complete_body(struct attachment *a)
{
	struct cursor *c = &a->cursors[a->body_stream];
	struct iovec view[2];
	int pieces;

	if (a->body_left == 0)
		return;
	pieces = ring_pieces(c->ring, c->offset, a->body_left, view);
	for (int i = 0; i < pieces; i++)
		if (buffer_append(&a->out, view[i].iov_base, view[i].iov_len) < 0)
			a->finished = true;
	c->offset += a->body_left;
	a->body_left = 0;
}

void attach_push_start(struct attachment *a)
{
	struct frame hello = { .type = FRAME_HELLO,
			       .data = (const uint8_t *)a->session->id,
			       .size = (uint32_t)strlen(a->session->id) };
	struct frame in = { .type = FRAME_START, .stream = FRAME_STDIN };
	struct frame signals = { .type = FRAME_START, .offset = session_signals_taken(a->session) };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t half = word_load(&a->session->words->token[i]);

		if (a->controlling)
			memcpy(hello.token + 8 * i, &half, 8);
	}
	attach_push(a, &hello);
	if (a->numbers)
		attach_push(a, &signals);
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct frame f = { .type = FRAME_START,
				   .stream = attach_stream(a, i),
				   .offset = a->cursors[i].offset,
				   .dropped = a->cursors[i].dropped };

		if (a->want[i])
			attach_push(a, &f);
	}
	a->accepted_told = word_load(&a->session->words->in_accepted);
	in.offset = a->accepted_told;
	if (a->controlling)
		attach_push(a, &in);
}
