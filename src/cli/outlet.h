/* SPDX-License-Identifier: Apache-2.0 */
/* outlet.h - our own stdout or stderr: written without ever blocking the loop.
 *
 * The descriptor is shared with other processes, so it cannot be made non-blocking; a pipe or a
 * terminal is opened anew for that. What it does not take is kept, up to OUTLET_HIGH and what comes
 * in one reading. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTLET_HIGH (1024U * 1024U) /* kept bytes above which no more should be read */

struct outlet {
	int fd;
	bool own;   /* opened here, to be closed */
	bool small; /* may block: written in pieces that poll(2) has said will fit */
	bool socket;
	int error; /* errno of the write that failed; then everything is thrown away */
	uint8_t *kept;
	size_t start, end, size; /* of `kept` */
};

void outlet_open(struct outlet *o, int fd);
void outlet_close(struct outlet *o);

/* Writes or keeps all of it. Returns how many bytes are written for good, older ones included;
 * -ENOMEM. After an error all counts as written. */
long outlet_write(struct outlet *o, const uint8_t *bytes, size_t n);

/* Writes what is kept, as far as it is taken. Returns how many bytes. */
long outlet_flush(struct outlet *o);

static inline size_t outlet_kept(const struct outlet *o)
{
	return o->end - o->start;
}
