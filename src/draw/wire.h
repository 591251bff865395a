/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - between an engine and its drawer, both of one program file: a stream socket on which one
 * request waits for one reply. The drawer believes its engine; the engine believes nothing that
 * comes back, since libvterm may have written anywhere. */
#pragma once
#include "draw/shot.h"

/* Both are for the engine's side, whose socket does not block. They return -ETIME when
 * clock_monotonic_ms() has passed `deadline`, and -EPIPE when the drawer has gone. */
int screen_send(int sock, const struct screen_input *in, unsigned parts, uint64_t deadline);
/* `shot` is one of screen_begin() for the same input; it gets the cursor and its buffers. -EPROTO
 * for what cannot be; -ENOMEM and -EFBIG are the drawer's or our own. */
int screen_receive(int sock, struct screen_shot *shot, uint64_t deadline);

/* The drawer: draws what it is sent until the other side is closed, under narrow limits that it
 * gives itself, and ends with the thread that started it. 0 or a negative errno. */
int screen_serve(int sock);

/* --- the messages ----------------------------------------------------------------------------- */

struct screen_request { /* behind it: the contents, and the bytes */
	struct screen_record record;
	uint64_t n;
	uint32_t parts;
	uint16_t rows, cols;
	uint32_t at_head;
};

struct screen_reply { /* behind it, where `result` is 0: restore, text, ansi */
	int32_t result;
	uint16_t row, col;
	uint32_t sizes[3];
};
