/* SPDX-License-Identifier: Apache-2.0 */
#include "client/api_error.h"
#include "client/attach_internal.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define STEP_MAX (8U * RECEIVE_SIZE) /* read in one step, then others get their turn */

/* --- sending --------------------------------------------------------------------------------- */

bool attach_put(struct attach *a, const struct frame *f)
{
	uint8_t encoded[FRAME_ENCODED_MAX];
	int n = frame_encode(f, encoded);

	if (n < 0 || buffer_reserve(&a->out, (size_t)n + f->size) < 0)
		return false;
	buffer_append(&a->out, encoded, (size_t)n);
	if (f->type == FRAME_INPUT)
		buffer_append(&a->out, f->data, f->size);
	return true;
}

void attach_forget_signals(struct attach_signals *q, unsigned n)
{
	unsigned had_number = MIN(n, q->sent);

	q->n -= n;
	q->sent -= had_number;
	q->first += had_number;
	memmove(q->queue, q->queue + n, q->n * sizeof(q->queue[0]));
}

void attach_send_signals(struct attach *a)
{
	struct attach_signals *q = &a->signals;

	while (q->open && q->sent < q->n) {
		struct frame f = { .type = FRAME_SIGNAL, .signal = (uint8_t)q->queue[q->sent] };

		if (q->numbered)
			f.offset = q->first + q->sent;
		if (!attach_put(a, &f))
			return;
		q->sent++;
	}
	if (q->open && !q->numbered)
		attach_forget_signals(q, q->n);
}

void attach_send_size(struct attach *a)
{
	if (a->rows > 0 && !a->o->read_only)
		attach_put(a, &(struct frame){ .type = FRAME_RESIZE,
					       .stream = FRAME_NO_STREAM,
					       .rows = a->rows,
					       .cols = a->cols });
}

void attach_send_input(struct attach *a)
{
	struct attach_input *in = &a->input;
	struct frame f = { .type = FRAME_INPUT, .stream = FRAME_STDIN };

	while ((f.size = (uint32_t)attach_input_due(in, FRAME_INPUT_WINDOW, &f.data)) > 0) {
		f.offset = in->sent;
		if (!attach_put(a, &f))
			return;
		in->sent += f.size;
	}
	if (attach_input_eof_due(in))
		in->eof_sent =
			attach_put(a, &(struct frame){ .type = FRAME_EOF, .stream = FRAME_STDIN });
}

void attach_send_acks(struct attach *a, bool all)
{
	uint64_t quarter = a->o->ring > 0 ? MAX(a->o->ring / 4, 1ULL) : ATTACH_ACK_BYTES;
	uint64_t least = all ? 1 : MIN(quarter, (uint64_t)ATTACH_ACK_BYTES);

	for (unsigned s = 0; s < N_FRAME_STREAMS && !a->o->read_only; s++) {
		struct output *o = &a->outputs[s];
		struct frame f = { .type = FRAME_ACK, .stream = s, .offset = o->consumed };

		if (o->consumed - o->acked < least)
			continue;
		if (attach_put(a, &f))
			o->acked = o->consumed;
	}
}

void attach_flush(struct attach *a)
{
	while (a->out_sent < a->out.size) {
		ssize_t n = send(a->fd, a->out.data + a->out_sent, a->out.size - a->out_sent,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break; /* what the peer sent before it left is still to be read */
		a->out_sent += (size_t)n;
	}
	buffer_consume(&a->out, a->out.size);
	a->out_sent = 0;
}

/* --- receiving ------------------------------------------------------------------------------- */

static void gone(struct attach *a, enum frame_stream stream, uint64_t n)
{
	struct output *o = &a->outputs[stream];

	o->next += n;
	o->consumed += n;
	if (n > 0 && a->o->dropped)
		a->o->dropped(a->o->data, stream, n);
}

static int on_first_start(struct attach *a, const struct frame *f)
{
	struct output *o = &a->outputs[f->stream];

	o->started = true;
	o->next = o->consumed = o->acked = f->offset;
	/* in place of what came before there is the screen */
	if (f->dropped > 0 && a->o->dropped && !a->refresh)
		a->o->dropped(a->o->data, f->stream, f->dropped);
	return 0;
}

/* `taken` signals were taken, ever: of those that were sent before, so many more than then. What
 * was never sent is not among them, whoever else had the session meanwhile. */
static int on_signals_start(struct attach *a, uint64_t taken)
{
	struct attach_signals *q = &a->signals;

	if (taken >= q->first)
		attach_forget_signals(q, (unsigned)MIN(taken - q->first + 1, (uint64_t)q->sent));
	q->first = taken + 1;
	q->sent = 0;
	q->numbered = true;
	return 0;
}

/* It is the last of the STARTs. */
static int on_input_start(struct attach *a, uint64_t offset)
{
	if (a->o->read_only)
		return 0;
	a->signals.open = true;
	attach_send_signals(a);
	/* What was taken is not there any more: keeper and engine died together. */
	return attach_input_start(&a->input, offset) < 0 ? -ESTALE : 0;
}

static int on_start(struct attach *a, const struct frame *f)
{
	struct output *o = &a->outputs[f->stream];

	if (f->stream == FRAME_NO_STREAM)
		return on_signals_start(a, f->offset);
	if (f->stream == FRAME_STDIN)
		return on_input_start(a, f->offset);
	if (!o->started)
		return on_first_start(a, f);
	o->skip = f->offset < o->next ? o->next - f->offset : 0;
	if (f->offset > o->next)
		gone(a, f->stream, f->offset - o->next);
	o->acked = o->consumed < f->offset ? o->consumed : f->offset;
	return 0;
}

static int on_output(struct attach *a, const struct frame *f)
{
	struct output *o = &a->outputs[f->stream];
	uint32_t known = (uint32_t)MIN(o->skip, (uint64_t)f->size);

	if (!o->started)
		return -EPROTO;
	a->refresh = false; /* the screen is complete */
	o->skip -= known;
	if (known == f->size)
		return 0;
	o->next += f->size - known;
	return a->o->output(a->o->data, f->stream, f->data + known, f->size - known);
}

/* Without the memory there is still OUTPUT, from where it stands, over another connection. */
static int on_memory(struct attach *a, const struct frame *f)
{
	if (attach_memory_map(&a->memory, f) == 0)
		return 0;
	a->memory.refused = true;
	return -ECONNRESET;
}

/* What one WRITTEN behind the other has lost is told as one. */
static void tell_gone(struct attach *a)
{
	for (unsigned s = 0; s < N_FRAME_STREAMS; s++) {
		uint64_t n = a->outputs[s].gone;

		a->outputs[s].gone = 0;
		if (n > 0 && a->o->dropped)
			a->o->dropped(a->o->data, s, n);
	}
}

static int on_written(struct attach *a, const struct frame *f)
{
	struct output *o = &a->outputs[f->stream];
	uint64_t told = o->next - o->skip;

	if (!o->started || f->offset < told ||
	    f->offset - told > attach_memory_size(&a->memory, f->stream))
		return -EPROTO;
	o->skip = f->offset < o->next ? o->next - f->offset : 0;
	while (o->next < f->offset) {
		struct attach_copy c = { .at = o->next, .n = f->offset - o->next };
		int r;

		attach_memory_copy(&a->memory, f->stream, &c);
		o->next += c.gone + c.n;
		o->consumed += c.gone;
		o->gone += c.gone;
		if (c.n == 0)
			continue;
		tell_gone(a);
		r = a->o->output(a->o->data, f->stream, c.bytes, c.n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_screen(struct attach *a, const struct frame *f)
{
	return a->o->screen ? a->o->screen(a->o->data, f->data, f->size) : 0;
}

static int on_dropped(struct attach *a, const struct frame *f)
{
	struct output *o = &a->outputs[f->stream];
	uint64_t known = MIN(o->skip, f->offset);

	o->skip -= known;
	gone(a, f->stream, f->offset - known);
	return 0;
}

static int on_hello(struct attach *a, const struct frame *f)
{
	memcpy(a->session, f->data, f->size);
	a->session[f->size] = '\0';
	return 0;
}

static int on_exit_frame(struct attach *a, const struct frame *f)
{
	a->exited = true;
	a->exit = *f;
	a->exit.data = NULL;
	return 0;
}

static int on_ended(struct attach *a, const struct frame *f)
{
	a->ended = f->reason;
	a->state = ATTACH_OVER;
	return 0;
}

static int on_accepted(struct attach *a, const struct frame *f)
{
	attach_input_accept(&a->input, f->offset);
	return 0;
}

static int (*const handlers[N_FRAME_TYPES])(struct attach *a, const struct frame *f) = {
	[FRAME_HELLO] = on_hello,       [FRAME_START] = on_start,     [FRAME_OUTPUT] = on_output,
	[FRAME_DROPPED] = on_dropped,   [FRAME_EXIT] = on_exit_frame, [FRAME_ENDED] = on_ended,
	[FRAME_ACCEPTED] = on_accepted, [FRAME_SCREEN] = on_screen,   [FRAME_MEMORY] = on_memory,
	[FRAME_WRITTEN] = on_written,
};

static int obey(struct attach *a, const struct frame *f)
{
	if (f->type != FRAME_WRITTEN)
		tell_gone(a);
	return handlers[f->type](a, f);
}

static int decode(struct attach *a, const uint8_t *data, size_t size, struct error *e)
{
	struct frame f;
	int r;

	while (a->state == ATTACH_UP && (r = frame_decode(&a->decoder, &data, &size, &f)) != 0) {
		if (r > 0 && f.type == FRAME_ERROR)
			return api_error_plain(f.status, (const char *)f.data, f.size, e);
		if (r > 0)
			r = obey(a, &f);
		if (r == -ESTALE)
			error_set(e, ERROR_UNAVAILABLE,
				  "%s was lost together with the daemon that held it",
				  attach_session(a));
		if (r == -EPROTO)
			error_set(e, ERROR_INTERNAL, "%s: the daemon sent what is no frame",
				  attach_session(a));
		if (r < 0)
			return r;
	}
	return 0;
}

int attach_decode(struct attach *a, const uint8_t *data, size_t size, struct error *e)
{
	int r = decode(a, data, size, e);

	tell_gone(a);
	return r;
}

int attach_receive(struct attach *a, struct error *e)
{
	for (size_t total = 0; total < STEP_MAX && a->state == ATTACH_UP && !a->paused;) {
		ssize_t n =
			attach_memory_receive(&a->memory, a->fd, a->receive, sizeof(a->receive));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			error_set(e, ERROR_UNAVAILABLE, "the connection to the daemon broke");
			return -ECONNRESET;
		}
		r = attach_decode(a, a->receive, (size_t)n, e);
		if (r < 0)
			return r;
		total += (size_t)n;
		attach_send_acks(a, false);
		attach_flush(a);
		if ((size_t)n < sizeof(a->receive))
			return 0; /* there was no more */
	}
	return 1;
}
