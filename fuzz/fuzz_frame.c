/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_frame.c - the frame decoder: what it finds does not depend on where the bytes were cut. */
#include "core/frame.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A digest of all that a decoder gave. Pieces of OUTPUT, SCREEN and INPUT are joined: only their
 * bytes and the offset of each byte count. */
struct digest {
	uint64_t hash;
	bool failed;
};

static void add(struct digest *d, uint64_t value)
{
	d->hash = (d->hash ^ value) * 0x100000001b3ULL;
}

static void add_frame(struct digest *d, const struct frame *f)
{
	bool data = f->type == FRAME_OUTPUT || f->type == FRAME_SCREEN || f->type == FRAME_INPUT;

	for (uint32_t i = 0; i < f->size; i++) {
		add(d, f->data[i]);
		if (data) {
			add(d, (uint64_t)f->type << 8 | f->stream);
			add(d, f->type == FRAME_INPUT ? f->offset + i : 0);
		}
	}
	if (data)
		return;
	add(d, (uint64_t)f->type << 8 | f->stream);
	add(d, f->offset);
	add(d, f->dropped);
	add(d, f->ring);
	add(d, f->gone);
	add(d, (uint64_t)f->exit_known << 32 | f->outcome << 16 | f->cause << 8 | f->reason);
	add(d, (uint64_t)f->signal << 48 | (uint64_t)f->status << 32 | (uint32_t)f->rows << 16 |
		       f->cols);
	add(d, (uint64_t)f->exit_code);
	for (size_t i = 0; i < FRAME_TOKEN; i++)
		add(d, f->token[i]);
}

/* Decodes in pieces of `step` bytes, each in memory of its own size, so that ASan sees a read
 * beyond it. */
static struct digest decode(enum frame_side from, const uint8_t *data, size_t size, size_t step)
{
	struct frame_decoder decoder = { .from = from };
	struct digest digest = { 0 };

	while (size > 0 && !digest.failed) {
		size_t n = size < step ? size : step;
		uint8_t *piece = malloc(n);
		const uint8_t *p = piece;
		size_t left = n;
		struct frame f;
		int r;

		if (!piece)
			abort();
		memcpy(piece, data, n);
		while ((r = frame_decode(&decoder, &p, &left, &f)) > 0)
			add_frame(&digest, &f);
		digest.failed = r < 0;
		if (r == 0 && left != 0)
			abort();
		free(piece);
		data += n;
		size -= n;
	}
	return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum frame_side from;
	struct digest whole, cut;

	if (size < 2)
		return 0;
	from = data[0] & 1 ? FRAME_FROM_CLIENT : FRAME_FROM_SERVER;
	whole = decode(from, data + 2, size - 2, size);
	cut = decode(from, data + 2, size - 2, 1 + data[1] % 32);
	if (whole.failed != cut.failed || whole.hash != cut.hash)
		abort();
	return 0;
}
