/* SPDX-License-Identifier: Apache-2.0 */
/* attachment_private.h - shared by attachment.c and attach_*.c. */
#pragma once
#include "base/buffer.h"
#include "engine/attachment.h"
#include "engine/screen.h"
#include <sys/socket.h>

/* The rings' memory, in the hands of a client that reads it itself. */
struct attach_loan {
	bool wanted;      /* it can, and has not got it yet */
	bool heard;       /* it has acknowledged something on this connection: it reads frames */
	bool made;        /* from now on it is told WRITTEN */
	bool late;        /* what was put off is told now */
	int fd;           /* goes with the next bytes; -1 for none */
	uint64_t sent;    /* bytes of OUTPUT on this connection */
	uv_timer_t timer; /* what was put off is told when it says so */
};

struct attachment {
	struct session *session; /* NULL after it was removed */
	struct listener listener;
	int fd;
	uv_poll_t poll;
	int events;
	enum attach_mode mode;
	bool controlling, ending, finished;
	bool numbers; /* it numbers its signals */
	bool deaf;    /* it talks nonsense: nothing more of it is decoded */
	bool leaving; /* all is sent; it is heard until it closes, for its last ACKs */
	bool exit_sent;
	struct attach_loan loan;
	bool stuck; /* input waits for the child: nothing more is read */
	struct cursor cursors[STREAMS_MAX];
	bool want[STREAMS_MAX];
	uint64_t accepted_told;
	uv_timer_t accepted_timer; /* what was accepted since is told when it says so */
	struct frame_decoder decoder;
	struct buffer input;   /* INPUT bytes that the stdin ring had no room for, */
	uint64_t input_offset; /* from this offset, */
	struct buffer unread;  /* and what came behind them */
	struct buffer out;     /* encoded frames that wait to be sent */
	unsigned body_stream;  /* behind `out`: this many bytes of that stream's ring, */
	uint64_t body_left; /* sent from the ring itself (block cursor: it cannot be overwritten) */
	uv_timer_t *screen_timer;   /* NULL: no screen is asked for */
	struct screen_job *drawing; /* a screen that is to be sent before more output */
	bool screen_late;           /* it is drawn when the timer says so */
	uint64_t screen_at;         /* monotonic ms of the last one */
	struct buffer screen;       /* that is being sent, */
	size_t screen_sent;         /* so much of it */
	void (*closed)(void *data);
	void *data;
};

/* --- attach_screen.c --- */

/* Obeys the options about the window, and begins to draw the screen if it is asked for. */
void attach_screen_open(struct attachment *a, const struct attach_options *o);
/* The client gets a screen instead of what was overwritten: true when that was so. */
bool attach_screen_lapped(struct attachment *a);
/* No more output may be sent before the screen. */
bool attach_screen_pending(const struct attachment *a);
/* Queues the next piece of it; false when there is none. */
bool attach_screen_next(struct attachment *a);
void attach_screen_close(struct attachment *a);

/* --- attach_send.c --- */

/* Sends what there is to say until the socket is full; ends the attachment when it is over. */
void attach_pump(struct attachment *a);
/* Queues a frame. A client that lets its queue overflow is given up. */
void attach_push(struct attachment *a, const struct frame *f);
void attach_push_start(struct attachment *a);
enum frame_stream attach_stream(const struct attachment *a, unsigned stream);
/* Queues ACCEPTED, if there is news. `offer` may leave it for a moment: the echo of a key goes
 * first, and takes it along. */
void attach_push_accepted(struct attachment *a);
void attach_offer_accepted(struct attachment *a);
/* Copies the rest of a half-sent OUTPUT into the queue. */
void attach_complete_body(struct attachment *a);

/* --- attach_lend.c --- */

void attach_loan_open(struct attachment *a, const struct attach_options *o);
void attach_loan_close(struct attachment *a);
/* Lends the memory to a client that has had a lot of output; false when it is not to be lent now.
 */
bool attach_lend(struct attachment *a);
/* Tells of `n` > 0 bytes more in the stream's ring; false when that can wait for a moment. */
bool attach_tell_written(struct attachment *a, unsigned stream, uint64_t n);
/* Room for the control message of one descriptor. */
union attach_control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};
/* Adds the descriptor, if there is one to send, to a message. */
void attach_add_descriptor(struct attachment *a, struct msghdr *m, union attach_control *control);

/* --- attach_receive.c --- */

/* Decodes and obeys. */
void attach_take_bytes(struct attachment *a, const uint8_t *data, size_t n);
/* Goes on with input that waited for room. */
void attach_unstick(struct attachment *a);
/* What a client said before it went counts, though it takes nothing any more. */
void attach_hear_last_words(struct attachment *a);

/* --- attachment.c --- */

void attach_set_events(struct attachment *a, int events);
void attach_finish(struct attachment *a);
