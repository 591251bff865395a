/* SPDX-License-Identifier: Apache-2.0 */
#include "client/attach_input.h"
#include "base/cleanup.h"
#include <errno.h>

#define MASK (FRAME_INPUT_WINDOW - 1)

int attach_input_pieces(const struct attach_input *in, struct iovec room[2])
{
	uint64_t size = FRAME_INPUT_WINDOW - (in->end - in->accepted);
	uint64_t first = in->end & MASK;

	if (!in->open || in->ended || size == 0)
		return 0;
	room[0].iov_base = (uint8_t *)in->ring + first;
	room[0].iov_len = MIN(size, FRAME_INPUT_WINDOW - first);
	room[1].iov_base = (uint8_t *)in->ring;
	room[1].iov_len = size - room[0].iov_len;
	return room[1].iov_len > 0 ? 2 : 1;
}

/* Gives what is held, from `sent` on, new offsets from `offset` on. */
static void move_to(struct attach_input *in, uint64_t offset)
{
	uint8_t held[FRAME_INPUT_WINDOW];
	uint64_t n = in->end - in->sent;

	for (uint64_t i = 0; i < n; i++)
		held[i] = in->ring[(in->sent + i) & MASK];
	for (uint64_t i = 0; i < n; i++)
		in->ring[(offset + i) & MASK] = held[i];
	in->accepted = in->sent = offset;
	in->end = offset + n;
}

void attach_input_wait(struct attach_input *in)
{
	in->waiting = true;
}

int attach_input_start(struct attach_input *in, uint64_t offset)
{
	if (!in->open) {
		in->open = true;
		in->accepted = in->sent = in->end = offset;
	} else if (offset < in->accepted) {
		return -EPROTO;
	} else {
		attach_input_accept(in, offset);
		in->sent = in->accepted;
	}
	in->waiting = false;
	in->eof_sent = false;
	return 0;
}

void attach_input_accept(struct attach_input *in, uint64_t offset)
{
	if (offset > in->sent)
		move_to(in, offset);
	else if (offset > in->accepted)
		in->accepted = offset;
}

size_t attach_input_due(const struct attach_input *in, size_t max, const uint8_t **ret)
{
	uint64_t at = in->sent & MASK;
	uint64_t n = MIN(in->end - in->sent, FRAME_INPUT_WINDOW - at);

	*ret = in->ring + at;
	return in->waiting ? 0 : MIN(n, max);
}

bool attach_input_eof_due(const struct attach_input *in)
{
	return in->open && !in->waiting && in->ended && !in->eof_sent && in->accepted == in->end;
}
