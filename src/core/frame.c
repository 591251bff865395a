/* SPDX-License-Identifier: Apache-2.0 */
#include "core/frame.h"
#include "base/cleanup.h"
#include <endian.h>
#include <errno.h>
#include <string.h>

#define STREAM(s) (1U << (s))
#define NONE      STREAM(FRAME_NO_STREAM)
#define OUTPUTS   (STREAM(FRAME_STDOUT) | STREAM(FRAME_STDERR) | STREAM(FRAME_PTY))
#define INPUTS    (NONE | STREAM(FRAME_STDIN))

/* Fixed parts of payloads: members of struct frame with the width that they have on the wire. */
enum part {
	PART_NONE,
	PART_TOKEN,
	PART_OFFSET,
	PART_DROPPED,
	PART_KNOWN,
	PART_CODE,
	PART_OUTCOME,
	PART_CAUSE,
	PART_REASON,
	PART_STATUS,
	PART_ROWS,
	PART_COLS,
	PART_SIGNAL,
	PART_RING,
	PART_GONE,
	N_PARTS,
};

#define MEMBER(m)                                                                                  \
	{                                                                                          \
		offsetof(struct frame, m), sizeof(((struct frame *)NULL)->m)                       \
	}

static const struct {
	size_t at;
	size_t size;
} members[N_PARTS] = {
	[PART_TOKEN] = MEMBER(token),     [PART_OFFSET] = MEMBER(offset),
	[PART_DROPPED] = MEMBER(dropped), [PART_KNOWN] = MEMBER(exit_known),
	[PART_CODE] = MEMBER(exit_code),  [PART_OUTCOME] = MEMBER(outcome),
	[PART_CAUSE] = MEMBER(cause),     [PART_REASON] = MEMBER(reason),
	[PART_STATUS] = MEMBER(status),   [PART_ROWS] = MEMBER(rows),
	[PART_COLS] = MEMBER(cols),       [PART_SIGNAL] = MEMBER(signal),
	[PART_RING] = MEMBER(ring),       [PART_GONE] = MEMBER(gone),
};

#define PARTS_MAX   4
#define NUMBER_SIZE ((uint32_t)sizeof(uint64_t))

struct rule {
	unsigned streams;           /* set of allowed streams; empty: no such type */
	enum part parts[PARTS_MAX]; /* in the order of the payload */
	bool numbered;              /* an offset may stand behind the parts; 0 is left out */
	uint32_t tail_max;          /* bytes allowed behind the parts */
	bool bulk;                  /* the tail may come in pieces */
};

static const struct rule rules[N_FRAME_TYPES] = {
	[FRAME_HELLO] = { .streams = NONE, .parts = { PART_TOKEN }, .tail_max = FRAME_TEXT_MAX },
	[FRAME_START] = { .streams = OUTPUTS | INPUTS, .parts = { PART_OFFSET, PART_DROPPED } },
	[FRAME_OUTPUT] = { .streams = OUTPUTS, .tail_max = FRAME_PAYLOAD_MAX, .bulk = true },
	[FRAME_DROPPED] = { .streams = OUTPUTS, .parts = { PART_OFFSET } },
	[FRAME_EXIT] = { .streams = NONE,
			 .parts = { PART_KNOWN, PART_CODE, PART_OUTCOME, PART_CAUSE } },
	[FRAME_ENDED] = { .streams = NONE, .parts = { PART_REASON } },
	[FRAME_ACCEPTED] = { .streams = INPUTS, .parts = { PART_OFFSET } },
	[FRAME_ERROR] = { .streams = NONE, .parts = { PART_STATUS }, .tail_max = FRAME_TEXT_MAX },
	[FRAME_SCREEN] = { .streams = STREAM(FRAME_PTY),
			   .tail_max = FRAME_PAYLOAD_MAX,
			   .bulk = true },
	[FRAME_MEMORY] = { .streams = OUTPUTS, .parts = { PART_OFFSET, PART_RING, PART_GONE } },
	[FRAME_WRITTEN] = { .streams = OUTPUTS, .parts = { PART_OFFSET } },
	[FRAME_INPUT] = { .streams = INPUTS,
			  .parts = { PART_OFFSET },
			  .tail_max = FRAME_PAYLOAD_MAX - sizeof(uint64_t),
			  .bulk = true },
	[FRAME_RESIZE] = { .streams = NONE | STREAM(FRAME_PTY), .parts = { PART_ROWS, PART_COLS } },
	[FRAME_SIGNAL] = { .streams = NONE, .parts = { PART_SIGNAL }, .numbered = true },
	[FRAME_DETACH] = { .streams = NONE },
	[FRAME_EOF] = { .streams = INPUTS },
	[FRAME_ACK] = { .streams = OUTPUTS, .parts = { PART_OFFSET } },
};

static const struct rule *rule_of(unsigned type, unsigned stream)
{
	const struct rule *rule = type < N_FRAME_TYPES ? &rules[type] : NULL;

	if (!rule || stream >= N_FRAME_STREAMS || !(rule->streams & STREAM(stream)))
		return NULL;
	return rule;
}

/* Whether part `i` stands in a frame of this stream: START of what goes in has no `dropped`. */
static bool part_stands(const struct rule *rule, unsigned i, unsigned stream)
{
	return rule->parts[i] != PART_NONE &&
	       !(rule->parts[i] == PART_DROPPED && INPUTS & STREAM(stream));
}

static uint32_t parts_size(const struct rule *rule, unsigned stream)
{
	size_t size = 0;

	for (unsigned i = 0; i < PARTS_MAX; i++)
		if (part_stands(rule, i, stream))
			size += members[rule->parts[i]].size;
	return (uint32_t)size;
}

/* Copies a number between memory and wire; the token has its bytes in order on both sides. */
static void part_copy(uint8_t *to, const uint8_t *from, enum part part)
{
	size_t size = members[part].size;

	for (size_t i = 0; i < size; i++)
		to[i] = from[BYTE_ORDER == LITTLE_ENDIAN || part == PART_TOKEN ? i : size - 1 - i];
}

static const uint8_t *parts_read(const struct rule *rule, struct frame *f, const uint8_t *from)
{
	for (unsigned i = 0; i < PARTS_MAX; i++) {
		if (!part_stands(rule, i, f->stream))
			continue;
		part_copy((uint8_t *)f + members[rule->parts[i]].at, from, rule->parts[i]);
		from += members[rule->parts[i]].size;
	}
	return from;
}

static uint8_t *parts_write(const struct rule *rule, const struct frame *f, uint8_t *to)
{
	for (unsigned i = 0; i < PARTS_MAX; i++) {
		if (!part_stands(rule, i, f->stream))
			continue;
		part_copy(to, (const uint8_t *)f + members[rule->parts[i]].at, rule->parts[i]);
		to += members[rule->parts[i]].size;
	}
	return to;
}

static uint32_t header_length(const uint8_t header[FRAME_HEADER])
{
	return header[4] | (uint32_t)header[5] << 8 | (uint32_t)header[6] << 16 |
	       (uint32_t)header[7] << 24;
}

/* Moves bytes into `held` until it has `want`. False when `*data` ran out before that. */
static bool hold(struct frame_decoder *d, uint32_t want, const uint8_t **data, size_t *size)
{
	size_t n = d->n_held < want ? want - d->n_held : 0;

	n = n < *size ? n : *size;
	if (n > 0)
		memcpy(d->held + d->n_held, *data, n);
	d->n_held += (uint32_t)n;
	*data += n;
	*size -= n;
	return d->n_held >= want;
}

/* The next bytes of the OUTPUT or INPUT whose header is held. */
static void piece(struct frame_decoder *d, const uint8_t **data, size_t *size, struct frame *ret)
{
	uint32_t n = d->left < *size ? d->left : (uint32_t)*size;

	*ret = (struct frame){ .type = d->held[0],
			       .stream = d->held[1],
			       .data = *data,
			       .size = n,
			       .offset = d->offset };
	*data += n;
	*size -= n;
	d->left -= n;
	d->offset += n;
	if (d->left == 0)
		d->n_held = 0;
}

static int fail(struct frame_decoder *d)
{
	d->failed = true;
	return -EPROTO;
}

/* Of the frame whose header is held; NULL where it may not come from that side. */
static const struct rule *held_rule(const struct frame_decoder *d)
{
	bool of_client = d->held[0] >= FRAME_INPUT;

	if (of_client != (d->from == FRAME_FROM_CLIENT) || d->held[2] != 0 || d->held[3] != 0)
		return NULL;
	return rule_of(d->held[0], d->held[1]);
}

/* Reads one header and what stands fixed behind it. Returns 1 for a whole small frame in `*ret`, 0
 * when `*data` ran out, and 2 when bytes of OUTPUT or INPUT, or the next frame, are to follow. */
static int decode_start(struct frame_decoder *d, const uint8_t **data, size_t *size,
			struct frame *ret)
{
	const struct rule *rule;
	uint32_t length, fixed;
	bool number;

	if (!hold(d, FRAME_HEADER, data, size))
		return 0;
	rule = held_rule(d);
	if (!rule)
		return fail(d);
	length = header_length(d->held);
	fixed = parts_size(rule, d->held[1]);
	number = rule->numbered && length == fixed + NUMBER_SIZE;
	if (length < fixed || (length - fixed > rule->tail_max && !number))
		return fail(d);
	if (!hold(d, FRAME_HEADER + (rule->bulk ? fixed : length), data, size))
		return 0;
	*ret = (struct frame){ .type = d->held[0], .stream = d->held[1] };
	ret->data = parts_read(rule, ret, d->held + FRAME_HEADER);
	ret->size = number ? 0 : length - fixed;
	if (number)
		part_copy((uint8_t *)&ret->offset, ret->data, PART_OFFSET);
	if (rule->bulk) {
		d->left = ret->size;
		d->offset = ret->offset;
		if (d->left == 0)
			d->n_held = 0;
		return 2;
	}
	d->n_held = 0;
	return 1;
}

int frame_decode(struct frame_decoder *d, const uint8_t **data, size_t *size, struct frame *ret)
{
	struct frame f;
	int r;

	if (d->failed)
		return -EPROTO;
	for (;;) {
		if (d->left > 0) {
			if (*size == 0)
				return 0;
			piece(d, data, size, ret);
			return 1;
		}
		r = decode_start(d, data, size, &f);
		if (r == 1)
			*ret = f;
		if (r != 2)
			return r;
	}
}

bool frame_decoder_idle(const struct frame_decoder *d)
{
	return d->n_held == 0 && d->left == 0 && !d->failed;
}

int frame_encode(const struct frame *f, uint8_t to[FRAME_ENCODED_MAX])
{
	const struct rule *rule = rule_of(f->type, f->stream);
	bool number = rule && rule->numbered && f->offset != 0;
	uint32_t length;
	uint8_t *end;

	if (!rule || f->size > rule->tail_max)
		return -EINVAL;
	length = parts_size(rule, f->stream) + f->size + (number ? NUMBER_SIZE : 0);
	to[0] = (uint8_t)f->type;
	to[1] = (uint8_t)f->stream;
	to[2] = to[3] = 0;
	for (unsigned i = 0; i < 4; i++)
		to[4 + i] = (uint8_t)(length >> (8 * i));
	end = parts_write(rule, f, to + FRAME_HEADER);
	if (number) {
		part_copy(end, (const uint8_t *)&f->offset, PART_OFFSET);
		end += NUMBER_SIZE;
	}
	if (!rule->bulk && f->size > 0) {
		memcpy(end, f->data, f->size);
		end += f->size;
	}
	return (int)(end - to);
}

static const char *const stream_names[N_FRAME_STREAMS] = {
	[FRAME_STDOUT] = "stdout",
	[FRAME_STDERR] = "stderr",
	[FRAME_PTY] = "pty",
	[FRAME_STDIN] = "stdin",
};

const char *frame_stream_name(enum frame_stream stream)
{
	return (unsigned)stream < N_FRAME_STREAMS ? stream_names[stream] : NULL;
}

enum frame_stream frame_stream_from_name(const char *name, size_t size)
{
	for (unsigned i = FRAME_STDOUT; i < N_FRAME_STREAMS; i++)
		if (strlen(stream_names[i]) == size && memcmp(stream_names[i], name, size) == 0)
			return i;
	return FRAME_NO_STREAM;
}
