/* SPDX-License-Identifier: Apache-2.0 */
/* attach_receive.c - what an attached client says: input by offset, acknowledgements, signals. */
#include "base/signals.h"
#include "core/pty.h"
#include "engine/attachment_private.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define LAST_WORDS_PIECE  16384U
#define LAST_WORDS_PIECES 64U

static void on_ack(struct attachment *a, const struct frame *f)
{
	unsigned stream = f->stream == FRAME_STDERR ? STREAM_ERR : STREAM_OUT;
	struct control_stream *w = &a->session->words->streams[stream];

	/* After the end it counts as long as nobody else has taken control. */
	if (a->session->controller != (a->ending ? NULL : a) || !a->controlling ||
	    !a->want[stream] || f->offset > a->cursors[stream].offset ||
	    f->offset <= word_load(&w->acked))
		return;
	word_store(&w->acked, f->offset);
	a->loan.heard = true;
	output_resume(a->session);
}

static int protocol_error(struct attachment *a, unsigned status, const char *text)
{
	struct frame f = { .type = FRAME_ERROR,
			   .status = (uint16_t)status,
			   .data = (const uint8_t *)text,
			   .size = (uint32_t)strlen(text) };

	if (!a->ending)
		attach_push(a, &f);
	a->ending = true;
	a->deaf = true;
	return -EPROTO;
}

/* Bytes for which the ring has no room wait here, and nothing more is read behind them. */
static int keep_input(struct attachment *a, uint64_t offset, const uint8_t *data, size_t n)
{
	if (buffer_append(&a->input, data, n) < 0)
		return protocol_error(a, 409, "more input than may be out");
	a->input_offset = offset;
	a->stuck = true;
	return 0;
}

static int on_input(struct attachment *a, const struct frame *f)
{
	struct error err = { 0 };
	uint64_t accepted, end = f->offset + f->size;
	int r;

	if (!a->controlling)
		return protocol_error(a, 403, "a read-only client cannot type");
	if (f->offset > INT64_MAX)
		return protocol_error(a, 409, "input at an offset that no stream can reach");
	r = input_take(a->session, f->offset, f->data, f->size, &accepted, &err);
	if (r < 0 && err.code == ERROR_STDIN_CLOSED)
		return 0; /* the child reads no more; what it did not take is no error of the
			     client's */
	if (r < 0)
		return protocol_error(a, 409, err.message);
	if (accepted < end)
		return keep_input(a, accepted, f->data + (f->size - (end - accepted)),
				  (size_t)(end - accepted));
	attach_offer_accepted(a);
	return 0;
}

static int on_signal(struct attachment *a, const struct frame *f)
{
	int r;

	if (!a->controlling)
		return protocol_error(a, 403, "a read-only client cannot send signals");
	if (!signal_name(f->signal))
		return protocol_error(a, 400, "there is no such signal");
	r = f->offset > 0 ? session_signal_numbered(a->session, f->signal, f->offset)
			  : session_signal(a->session, f->signal);
	if (r == -ERANGE)
		return protocol_error(a, 409, "a signal before this one has not come");
	/* Too many wait: the client loses its connection, and comes back with what was not taken.
	 */
	a->finished |= r < 0;
	return 0;
}

static int on_frame(struct attachment *a, const struct frame *f)
{
	if (a->ending && f->type != FRAME_ACK)
		return 0; /* too late for anything but what it has read of the last output */
	switch (f->type) {
	case FRAME_INPUT:
		return on_input(a, f);
	case FRAME_EOF:
		if (a->controlling)
			input_close(a->session);
		return 0;
	case FRAME_RESIZE:
		if (a->controlling && session_is_pty(a->session) && f->rows > 0 && f->cols > 0)
			pty_resize(a->session->fds[SLOT_FD_OUT], f->rows, f->cols);
		return 0;
	case FRAME_SIGNAL:
		return on_signal(a, f);
	case FRAME_ACK:
		on_ack(a, f);
		return 0;
	case FRAME_DETACH:
		attachment_end(a, FRAME_DETACHED);
		return 0;
	default:
		return 0;
	}
}

void attach_take_bytes(struct attachment *a, const uint8_t *data, size_t n)
{
	while (n > 0 && a->session && !a->deaf && !a->finished) {
		struct frame f;
		int r;

		if (a->stuck) {
			if (buffer_append(&a->unread, data, n) < 0)
				protocol_error(a, 409, "more input than may be out");
			return;
		}
		r = frame_decode(&a->decoder, &data, &n, &f);
		if (r < 0)
			protocol_error(a, 400, "not a frame of reeve-attach/1");
		if (r <= 0)
			return;
		on_frame(a, &f);
	}
}

void attach_unstick(struct attachment *a)
{
	struct buffer input = a->input, unread = a->unread;
	struct frame f = { .type = FRAME_INPUT, .stream = FRAME_STDIN };

	if (!a->stuck || !a->session)
		return;
	a->stuck = false;
	buffer_init(&a->input, input.max);
	buffer_init(&a->unread, unread.max);
	f.offset = a->input_offset;
	f.data = (const uint8_t *)input.data;
	f.size = (uint32_t)input.size;
	on_input(a, &f);
	attach_take_bytes(a, (const uint8_t *)unread.data, unread.size);
	buffer_done(&input);
	buffer_done(&unread);
}

void attach_hear_last_words(struct attachment *a)
{
	uint8_t bytes[LAST_WORDS_PIECE];
	ssize_t n;

	for (unsigned i = 0; i < LAST_WORDS_PIECES && a->session; i++) {
		n = recv(a->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n <= 0)
			return;
		attach_take_bytes(a, bytes, (size_t)n);
	}
}
