/* SPDX-License-Identifier: Apache-2.0 */
/* attach_input.h - input that was sent or is to be sent, held until the daemon has accepted it.
 *
 * A ring of FRAME_INPUT_WINDOW bytes with the session's own stdin offsets, so that what a broken
 * connection swallowed can be sent again, and what arrived twice is skipped. Pure. */
#pragma once
#include "core/frame.h"
#include <sys/uio.h>

struct attach_input {
	bool open;         /* START of stdin came: the session takes input */
	bool waiting;      /* for the START of a new connection: nothing is due before */
	bool ended;        /* nothing is added any more */
	bool eof_sent;     /* on this connection */
	uint64_t accepted; /* stdin offset of the first byte held */
	uint64_t sent;     /* of the first byte not sent on this connection */
	uint64_t end;      /* behind the last byte held */
	uint8_t ring[FRAME_INPUT_WINDOW];
};

/* Room as up to two pieces; returns how many. */
int attach_input_pieces(const struct attach_input *in, struct iovec room[2]);

/* Another connection was made: what is due on it will be known by its START. */
void attach_input_wait(struct attach_input *in);

/* A connection begins: the daemon has taken everything before `offset`. What it has not is due
 * again. -EPROTO when it claims less than it had accepted before. */
int attach_input_start(struct attach_input *in, uint64_t offset);

/* The daemon has taken everything before `offset`. When somebody else has written to the session's
 * stdin meanwhile, what was not sent yet moves behind that. */
void attach_input_accept(struct attach_input *in, uint64_t offset);

/* The next bytes to send, in one piece of at most `max`; 0 when there are none. */
size_t attach_input_due(const struct attach_input *in, size_t max, const uint8_t **ret);

/* True when all was accepted and the end is yet to be told. */
bool attach_input_eof_due(const struct attach_input *in);
