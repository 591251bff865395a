/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h - an attachment to a session that outlives its connection.
 *
 * Driven by the caller's poll loop. When the connection breaks, the attachment connects again for
 * up to ATTACH_PATIENCE_MS with the same token, goes on at the byte where it was, and sends again
 * what the daemon had not accepted: neither side of it notices. Not thread-safe. */
#pragma once
#include "base/error.h"
#include "client/http.h"
#include "core/frame.h"
#include <sys/uio.h>

#define ATTACH_PATIENCE_MS 30000U
#define ATTACH_ACK_BYTES   (128U * 1024U) /* consumed bytes after which an ACK does not wait, */
#define ATTACH_ACK_MS      5U             /* fewer wait so long for more */

enum attach_state {
	ATTACH_DOWN,      /* connects at the next step that is due */
	ATTACH_HANDSHAKE, /* waits for 101 */
	ATTACH_UP,
	ATTACH_OVER, /* ENDED came, or it was detached */
};

struct attach_options {
	const char *socket_path;
	const char *session; /* id, name, handle */
	const char *streams; /* "stdout,stderr"; NULL: all that the session has */
	const char *from; /* start, now, delivered or an offset; NULL: what was not delivered yet */
	const char *from_stream[N_FRAME_STREAMS]; /* the same for one stream; NULL: as `from` */
	const char *mode;                         /* drop-oldest or block; NULL: drop-oldest */
	uint64_t ring; /* bytes of a stream's ring, as far as known: an ACK never waits for more
			* than a quarter of it. 0: the default */
	bool read_only;
	bool steal;
	bool restore; /* of a terminal: begin with its screen as it is now, at `rows` x `cols` */
	uint16_t rows, cols; /* of the client's own terminal; 0: it has none */
	uint8_t token[FRAME_TOKEN];
	/* Gets the bytes of a stream, in order; they count as consumed once attach_consumed was
	 * told. A negative return ends attach_step with it. */
	int (*output)(void *data, enum frame_stream stream, const uint8_t *bytes, size_t n);
	/* Gets bytes that bring a terminal to the state from which output goes on; not counted.
	 * Needed with `restore`. */
	int (*screen)(void *data, const uint8_t *bytes, size_t n);
	/* `n` bytes of the stream are gone: they will not be in its output. May be NULL. */
	void (*dropped)(void *data, enum frame_stream stream, uint64_t n);
	void *data;
};

struct attach;

/* `o` and what it points to must live as long as the attachment. */
int attach_new(struct attach **ret, const struct attach_options *o);
struct attach *attach_free(struct attach *a);

static inline void attach_freep(struct attach **a)
{
	*a = attach_free(*a);
}

/* Uses `http` (stolen, also on failure) for the first connection; NULL: makes its own. */
int attach_start(struct attach *a, struct http_client *http, struct error *e);

/* What to poll: -1 for nothing; and for how long at most, -1 for ever. */
int attach_fd(const struct attach *a);
short attach_events(const struct attach *a);
int attach_timeout(const struct attach *a);

/* Does what is due: connects, reads frames, sends what waits. 0; a negative errno when the
 * attachment cannot go on: refused (the API's code in `e`), stolen, or no daemon for too long. */
int attach_step(struct attach *a, struct error *e);

/* The half of it that sends: for who knows that nothing has come. */
void attach_send(struct attach *a);

/* While set, no output is read: the reader's own outlets are full. */
void attach_pause(struct attach *a, bool paused);

enum attach_state attach_state(const struct attach *a);

/* The EXIT frame; NULL until it came. Everything the leader wrote came before it. */
const struct frame *attach_exit(const struct attach *a);

/* enum frame_reason of ENDED; 0 until it came. */
int attach_ended(const struct attach *a);

/* `n` more bytes of the stream have arrived where they were to go. */
void attach_consumed(struct attach *a, enum frame_stream stream, size_t n);

/* The session's full id, once HELLO came; else what the options say. */
const char *attach_session(const struct attach *a);

/* --- input: held until accepted, so that it can be sent again -------------------------------- */

/* Room for input as up to two pieces; 0 while there is none, or while the session takes none. */
int attach_input_room(const struct attach *a, struct iovec room[2]);

/* `n` bytes were put into the room. */
void attach_input_added(struct attach *a, size_t n);

/* No more input comes: the session's stdin is closed behind what was added. */
void attach_input_end(struct attach *a);

/* Sent now, or once connected, and once more where a connection broke before it was taken. The last
 * 32 are held for that. */
void attach_signal(struct attach *a, int signal);

/* Whether all of them are on their way. */
bool attach_signals_sent(const struct attach *a);

/* The size of the client's terminal has changed: told now, or once connected. */
void attach_resize(struct attach *a, uint16_t rows, uint16_t cols);

/* Gives the connection up for a new one that begins with the screen as it is then; what is on its
 * way on this one is skipped, and told to `dropped`. */
void attach_refresh(struct attach *a);

/* Whether the daemon follows a gap in this connection's output by the screen. */
bool attach_restores(const struct attach *a);

/* Sends what was typed, as far as it fits, says what was consumed, and goodbye when it is still up.
 * Waits up to a second for the socket. */
void attach_detach(struct attach *a);
