/* SPDX-License-Identifier: Apache-2.0 */
/* attach_internal.h - shared by attach.c, which makes and remakes the connection, and
 * attach_frames.c, which speaks over it. */
#pragma once
#include "base/buffer.h"
#include "client/attach.h"
#include "client/attach_input.h"
#include "client/attach_memory.h"

#define RECEIVE_SIZE (256U * KiB)
#define SIGNALS_MAX  32U

struct output {
	bool started;
	uint64_t next;     /* offset of the byte that comes next */
	uint64_t skip;     /* of the coming bytes, these are known already */
	uint64_t consumed; /* told by attach_consumed */
	uint64_t gone;     /* bytes that were overwritten, which is not told yet */
	uint64_t acked;
};

/* Signals are held after they were sent, because only the next connection tells whether they were
 * taken: the daemon says at its start how many were, ever. The oldest make room for new ones. */
struct attach_signals {
	int queue[SIGNALS_MAX];
	unsigned n, sent;
	uint64_t first; /* number of the oldest */
	bool open;      /* this connection has said where it starts, */
	bool numbered;  /* and it takes numbers; a daemon that does not gets each once */
};

struct attach {
	const struct attach_options *o;
	enum attach_state state;
	struct http_client *http; /* during the handshake */
	int fd;
	uint64_t retry_at, give_up_at; /* monotonic ms; of a connection being made */
	bool paused;
	uint64_t ack_at; /* monotonic ms when what is consumed is acknowledged; 0: nothing waits */
	struct frame_decoder decoder;
	struct output outputs[N_FRAME_STREAMS];
	struct attach_memory memory;
	struct attach_input input;
	struct buffer out; /* frames on their way */
	size_t out_sent;
	struct attach_signals signals;
	uint16_t rows, cols; /* 0: nothing to tell */
	bool restores;       /* this connection was asked for with the screen */
	bool refresh;        /* the next connection is to begin with the screen */
	bool exited;
	struct frame exit;
	int ended;
	char session[FRAME_TEXT_MAX + 1];
	uint8_t receive[RECEIVE_SIZE];
};

/* Puts a frame on its way. False when too much waits already: a daemon that reads nothing. */
bool attach_put(struct attach *a, const struct frame *f);

/* Puts everything on its way that waits for it: acknowledgements (of much, or of `all`), signals,
 * input. */
void attach_send_acks(struct attach *a, bool all);
void attach_send_signals(struct attach *a);
void attach_forget_signals(struct attach_signals *q, unsigned n);
void attach_send_size(struct attach *a);
void attach_send_input(struct attach *a);

/* Sends what was put, as far as the socket takes it. */
void attach_flush(struct attach *a);

/* Carries out the frames in `data`. */
int attach_decode(struct attach *a, const uint8_t *data, size_t size, struct error *e);

/* Reads and carries out until nothing is there, or a fair share was read. Returns 1 when there may
 * be more, 0 when all was read. */
int attach_receive(struct attach *a, struct error *e);
