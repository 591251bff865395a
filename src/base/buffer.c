/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CAPACITY_MIN 64U

void buffer_init(struct buffer *b, size_t max)
{
	/* The NUL behind the last byte must fit, too. */
	*b = (struct buffer){ .max = MIN(max, (size_t)PTRDIFF_MAX - 1) };
}

void buffer_done(struct buffer *b)
{
	if (!b)
		return;
	free(b->data);
	buffer_init(b, b->max);
}

int buffer_reserve(struct buffer *b, size_t n)
{
	size_t wanted, capacity;
	char *data;

	if (n > b->max - b->size)
		return -EFBIG;
	wanted = b->size + n + 1;
	if (wanted <= b->capacity)
		return 0;
	capacity = MAX(wanted, b->capacity * 2);
	capacity = MAX(capacity, (size_t)CAPACITY_MIN);
	capacity = MIN(capacity, b->max + 1);
	data = realloc(b->data, capacity);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->capacity = capacity;
	buffer_terminate(b);
	return 0;
}

void buffer_terminate(struct buffer *b)
{
	if (b->data)
		b->data[b->size] = '\0';
}

int buffer_append(struct buffer *b, const void *p, size_t n)
{
	int r = buffer_reserve(b, n);

	if (r < 0)
		return r;
	if (n > 0)
		memcpy(b->data + b->size, p, n);
	b->size += n;
	buffer_terminate(b);
	return 0;
}

int buffer_append_text(struct buffer *b, const char *text)
{
	return buffer_append(b, text, strlen(text));
}

int buffer_vprintf(struct buffer *b, const char *format, va_list ap)
{
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;
	r = buffer_reserve(b, (size_t)n);
	if (r < 0)
		return r;
	vsnprintf(b->data + b->size, (size_t)n + 1, format, ap);
	b->size += (size_t)n;
	return 0;
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = buffer_vprintf(b, format, ap);
	va_end(ap);
	return r;
}

void buffer_consume(struct buffer *b, size_t n)
{
	n = MIN(n, b->size);
	if (n == 0)
		return;
	b->size -= n;
	memmove(b->data, b->data + n, b->size);
	buffer_terminate(b);
}

const char *buffer_text(const struct buffer *b)
{
	return b->data ? b->data : "";
}

int buffer_take(struct buffer *b, char **ret)
{
	int r = buffer_reserve(b, 0);

	if (r < 0)
		return r;
	*ret = take(b->data);
	buffer_init(b, b->max);
	return 0;
}
