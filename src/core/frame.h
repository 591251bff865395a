/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h - the frames both sides speak after `Upgrade: reeve-attach/1`.
 *
 * A frame is u8 type, u8 stream, u16 zero, u32 payload length, then the payload; all numbers are
 * little-endian. Pure: no descriptors, no allocation. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_PROTOCOL "reeve-attach/1"
/* The client's signals have numbers; it wants START of no stream. */
#define FRAME_SIGNALS_HEADER "Reeve-Signals"
/* The client can read the rings' memory itself. */
#define FRAME_MEMORY_HEADER "Reeve-Memory"
#define FRAME_HEADER        8U
#define FRAME_PAYLOAD_MAX   (1024U * 1024U)
#define FRAME_INPUT_WINDOW  (64U * 1024U)   /* bytes of INPUT that may be not yet ACCEPTED */
#define FRAME_OUTPUT_WINDOW (1024U * 1024U) /* bytes a block cursor may have out per stream */
#define FRAME_TOKEN         16U
#define FRAME_TEXT_MAX      1024U /* bytes of the text of HELLO and ERROR */
#define FRAME_ENCODED_MAX   (FRAME_HEADER + FRAME_TOKEN + FRAME_TEXT_MAX)

enum frame_type {
	/* server */
	FRAME_HELLO,    /* token, text: the session's id */
	FRAME_START,    /* offset, dropped; for stdin only offset: input taken up to here; for no
			   stream: so many numbered signals were taken */
	FRAME_OUTPUT,   /* data */
	FRAME_DROPPED,  /* offset: how many bytes later the next OUTPUT starts */
	FRAME_EXIT,     /* exit_known, exit_code, outcome, cause */
	FRAME_ENDED,    /* reason */
	FRAME_ACCEPTED, /* offset: input taken up to here */
	FRAME_ERROR,    /* status, text; then the server closes */
	FRAME_SCREEN,   /* data: draws a terminal's screen as it was where OUTPUT goes on; not
			   counted in offsets */
	FRAME_MEMORY,   /* offset, ring, gone: where the stream's ring lies in the file that came
			   with the frame, how large it is, and where the word lies that says
			   what of it may be overwritten; WRITTEN comes now instead of OUTPUT */
	FRAME_WRITTEN,  /* offset: the ring holds output up to here */
	/* client */
	FRAME_INPUT = 16, /* offset, data */
	FRAME_RESIZE,     /* rows, cols */
	FRAME_SIGNAL,     /* signal; offset, if it is not 0: its number, from 1 on */
	FRAME_DETACH,
	FRAME_EOF,
	FRAME_ACK, /* offset: output consumed up to here */
	N_FRAME_TYPES,
};

enum frame_stream {
	FRAME_NO_STREAM,
	FRAME_STDOUT,
	FRAME_STDERR,
	FRAME_PTY,
	FRAME_STDIN,
	N_FRAME_STREAMS,
};

enum frame_outcome {
	FRAME_NATURAL = 1,
	FRAME_SOFT,
	FRAME_HARD,
};

enum frame_reason {
	FRAME_DETACHED = 1,
	FRAME_STOLEN,
	FRAME_SESSION_EXITED,
	FRAME_TERMINATED,
};

/* Who sent it. */
enum frame_side {
	FRAME_FROM_SERVER,
	FRAME_FROM_CLIENT,
};

/* A frame, or a piece of one: OUTPUT, SCREEN and INPUT come in pieces, as their bytes arrive. Which
 * members count is said at the type. */
struct frame {
	enum frame_type type;
	enum frame_stream stream;
	const uint8_t *data; /* OUTPUT, SCREEN, INPUT: bytes; HELLO, ERROR: text, without a NUL */
	uint32_t size;       /* of `data` */
	uint64_t offset;     /* INPUT: of data[0], also in later pieces */
	uint64_t dropped;
	uint64_t ring, gone;
	uint8_t token[FRAME_TOKEN];
	uint8_t exit_known; /* 0: nobody saw how it ended */
	uint8_t outcome;    /* enum frame_outcome; a decoder passes on values it does not know */
	uint8_t cause;      /* 1 exit, 2 signal, 3 stop, 4 timeout, 5 oom, 6 owner-gone, ... */
	uint8_t reason;     /* enum frame_reason */
	uint8_t signal;
	uint16_t status;
	uint16_t rows;
	uint16_t cols;
	int32_t exit_code; /* 0..255; death by signal N is -N */
};

/* Reads frames out of a byte stream that may be cut anywhere. Zeroed but for `from` at the start.
 */
struct frame_decoder {
	enum frame_side from;
	uint8_t held[FRAME_ENCODED_MAX]; /* a header and a small payload not yet complete */
	uint32_t n_held;
	uint32_t left;   /* bytes of the current OUTPUT or INPUT still to come */
	uint64_t offset; /* of the next of them (INPUT) */
	bool failed;     /* after an error nothing more is decoded */
};

/* Takes the next frame, or the next piece of OUTPUT or INPUT, from `*data` and moves `*data` and
 * `*size` behind it. Returns 1 and fills `*ret`, whose `data` points into `*data` or into the
 * decoder and is valid until the next call; 0 when all was taken and more is needed; -EPROTO for
 * what is not a frame of that side (unknown type or stream, wrong length), and ever after. OUTPUT
 * and INPUT without bytes are passed over. */
int frame_decode(struct frame_decoder *d, const uint8_t **data, size_t *size, struct frame *ret);

/* True between two frames: an end of the stream here cuts nothing off. */
bool frame_decoder_idle(const struct frame_decoder *d);

/* Writes the header and all of the payload except `data` of OUTPUT and INPUT, whose `size` is
 * counted in the header and whose bytes the caller sends behind. Returns how many bytes were
 * written, at most FRAME_ENCODED_MAX; -EINVAL for a frame that no decoder would take. */
int frame_encode(const struct frame *f, uint8_t to[FRAME_ENCODED_MAX]);

/* "stdout"; NULL for a number out of range. */
const char *frame_stream_name(enum frame_stream stream);

/* The stream of a name (`stdin`, `stdout`, `stderr`, `pty`); FRAME_NO_STREAM when unknown. */
enum frame_stream frame_stream_from_name(const char *name, size_t size);
