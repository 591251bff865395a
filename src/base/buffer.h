/* SPDX-License-Identifier: Apache-2.0 */
/* buffer.h - growable bytes with a cap. Behind its `size` bytes there is always a NUL. */
#pragma once
#include "base/cleanup.h"
#include <stdarg.h>
#include <stddef.h>

struct buffer {
	char *data; /* NULL until the first byte was reserved */
	size_t size, capacity, max;
};

/* At most `max` bytes. Allocates nothing. */
void buffer_init(struct buffer *b, size_t max);

/* Frees the bytes; the buffer is empty and usable again. NULL is allowed; for _cleanup_. */
void buffer_done(struct buffer *b);

/* Makes room for `n` more bytes: data[size] .. data[size + n - 1] can be written, and counted by
 * adding to `size` (then call buffer_terminate). -EFBIG past the cap, -ENOMEM. */
int buffer_reserve(struct buffer *b, size_t n);

/* Puts the NUL back after bytes were written in place. */
void buffer_terminate(struct buffer *b);

/* All or nothing: on -EFBIG and -ENOMEM the buffer is as it was. */
int buffer_append(struct buffer *b, const void *p, size_t n);
int buffer_append_text(struct buffer *b, const char *text);
int buffer_printf(struct buffer *b, const char *format, ...) _printf_(2, 3);
int buffer_vprintf(struct buffer *b, const char *format, va_list ap) _printf_(2, 0);

/* Takes `n` bytes (at most all) from the front. */
void buffer_consume(struct buffer *b, size_t n);

/* The bytes as a C string, "" when there are none. Valid until the next change. */
const char *buffer_text(const struct buffer *b);

/* Hands the bytes over as a C string, never NULL on success; leaves the buffer empty. */
int buffer_take(struct buffer *b, char **ret);
