/* SPDX-License-Identifier: Apache-2.0 */
/* printer.h - printing output: all of it, or the lines that match. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "core/frame.h"
#include <regex.h>
#include <stdio.h>

#define PRINTER_LINE_MAX (1 * MiB) /* longer lines are matched in pieces */

struct printer {
	FILE *to;
	bool matching;
	regex_t expression;
	struct buffer partial[N_FRAME_STREAMS]; /* a line of each stream that is not over yet */
};

/* `expression` is extended (regex(7)); NULL: everything is printed, byte for byte. */
int printer_init(struct printer *p, FILE *to, const char *expression, struct error *e);
void printer_done(struct printer *p);

/* Takes the next bytes of a stream; those of none (FRAME_NO_STREAM) are printed as they are.
 * -ENOMEM. */
int printer_put(struct printer *p, enum frame_stream stream, const void *bytes, size_t n);

/* Treats what is left as lines that will not be completed. */
void printer_end(struct printer *p);
