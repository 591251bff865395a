/* SPDX-License-Identifier: Apache-2.0 */
/* input.h - takes an input of the fuzzer apart. At its end everything is zero. */
#pragma once
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
};

/* Copies up to `n` bytes, and fills up with zeros. */
static inline void take_into(struct input *in, void *to, size_t n)
{
	size_t got = n < in->left ? n : in->left;

	memset(to, 0, n);
	if (got > 0)
		memcpy(to, in->data, got);
	in->data += got;
	in->left -= got;
}

static inline uint8_t take_u8(struct input *in)
{
	uint8_t v;

	take_into(in, &v, sizeof(v));
	return v;
}

static inline uint16_t take_u16(struct input *in)
{
	uint16_t v;

	take_into(in, &v, sizeof(v));
	return v;
}

static inline uint64_t take_u64(struct input *in)
{
	uint64_t v;

	take_into(in, &v, sizeof(v));
	return v;
}

/* Up to `n` bytes where they stand. */
static inline const uint8_t *take_bytes(struct input *in, size_t n, size_t *ret)
{
	const uint8_t *at = in->data;

	*ret = n < in->left ? n : in->left;
	in->data += *ret;
	in->left -= *ret;
	return at;
}

/* What must hold whatever the input. */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: must(%s)\n", __FILE__, __LINE__, #condition);      \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* How many descriptors are open. */
static inline unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	must(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
