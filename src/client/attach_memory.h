/* SPDX-License-Identifier: Apache-2.0 */
/* attach_memory.h - output read from the memory of the session's rings, which the daemon lends.
 *
 * The daemon goes on writing there. A reader that has lost its place, or whose daemon has died, may
 * be overtaken: so bytes are copied first, and count only if the word beside the rings says
 * afterwards that they were not to be overwritten. */
#pragma once
#include "core/frame.h"
#include <sys/types.h>

struct word;

struct attach_memory {
	int fd; /* the file that came with this connection; -1 for none */
	uint8_t *map;
	uint64_t size; /* of it */
	struct {
		const uint8_t *ring;
		uint64_t size; /* 0: not lent */
		const struct word *gone;
	} streams[N_FRAME_STREAMS];
	uint8_t *copy;
	bool refused; /* it cannot be had here: the next connection does not ask for it */
};

struct attach_copy {
	uint64_t at;          /* in: the bytes from this offset on, */
	uint64_t n;           /* in: at most so many; out: so many were copied, */
	const uint8_t *bytes; /* out: here, valid until the next copy, */
	uint64_t gone;        /* out: and so many before them were overwritten */
};

/* As recv(2); keeps a descriptor that comes with the bytes. */
ssize_t attach_memory_receive(struct attach_memory *m, int fd, void *to, size_t max);

/* Obeys MEMORY. A negative errno when there is no file, or not one that a ring can be read from as
 * the frame says. */
int attach_memory_map(struct attach_memory *m, const struct frame *f);

/* Bytes of the stream's ring; 0 when it is not lent. */
uint64_t attach_memory_size(const struct attach_memory *m, enum frame_stream stream);

/* Copies the next bytes of a stream that is lent. All that was asked for are no more than its ring
 * holds. */
void attach_memory_copy(struct attach_memory *m, enum frame_stream stream, struct attach_copy *c);

/* Lets go of it; may be used again. */
void attach_memory_done(struct attach_memory *m);
