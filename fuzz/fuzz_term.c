/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_term.c - a terminal's state: it does not depend on where the bytes were cut, and a terminal
 * that was told it goes on alike; drawn by libvterm, it stays within its window. */
#include "draw/paint.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WINDOW_MAX 40U

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void must_be_same(const struct term *a, const struct term *b)
{
	must(a->state == b->state && a->partial == b->partial && a->modes == b->modes);
	must(a->pen.attributes == b->pen.attributes && a->pen.underline == b->pen.underline);
	must(a->title_size == b->title_size && memcmp(a->title, b->title, a->title_size) == 0);
	must(a->top == b->top && a->bottom == b->bottom && a->keys == b->keys);
	must(a->left == b->left && a->right == b->right);
}

/* A step at a time, each piece in memory of its own size. */
static void feed_in_pieces(struct term *t, const uint8_t *data, size_t size, size_t step)
{
	for (size_t at = 0; at < size; at += step) {
		size_t n = MIN(step, size - at);
		uint8_t *piece = malloc(n);

		must(piece != NULL);
		memcpy(piece, data + at, n);
		term_feed(t, piece, n);
		must(term_is_valid(t));
		free(piece);
	}
}

static void release(struct screen_shot *shot)
{
	buffer_done(&shot->restore);
	buffer_done(&shot->text);
	buffer_done(&shot->ansi);
}

/* The bytes in two parts, the first of them kept as a record. */
static void draw(const uint8_t *data, size_t size, size_t cut, uint16_t rows, uint16_t cols)
{
	struct screen_input in = { .record = { .whole = 1 },
				   .bytes = (uint8_t *)(uintptr_t)data,
				   .n = cut,
				   .rows = rows,
				   .cols = cols };
	struct screen_shot first = { 0 }, second = { 0 };

	term_init(&in.record.term);
	must(screen_draw(&in, SCREEN_RESTORE, &first) == 0);
	must(first.offset <= cut && first.row < rows && first.col < cols);
	in.record.at = first.offset;
	in.record.rows = rows;
	in.record.cols = cols;
	in.record.size = (uint32_t)first.restore.size;
	in.record.term = first.term;
	in.contents = first.restore.data;
	in.bytes = (uint8_t *)(uintptr_t)data + first.offset;
	in.n = size - first.offset;
	in.rows = cols;
	in.cols = rows;
	in.at_head = true;
	must(screen_draw(&in, SCREEN_RESTORE | SCREEN_TEXT | SCREEN_ANSI, &second) == 0);
	must(second.offset == size && second.row < in.rows && second.col < in.cols);
	release(&first);
	release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint16_t rows, cols;
	struct term whole, pieces;
	size_t cut;

	if (size < 3)
		return 0;
	rows = (uint16_t)(SCREEN_COLS_MIN + data[0] % WINDOW_MAX);
	cols = (uint16_t)(SCREEN_COLS_MIN + data[1] % WINDOW_MAX);
	cut = data[2];
	data += 3;
	size -= 3;
	cut = MIN(cut, size);
	term_init(&whole);
	term_init(&pieces);
	term_feed(&whole, data, size);
	feed_in_pieces(&pieces, data, size, 1 + cut % 7);
	must_be_same(&whole, &pieces);
	must(term_partial(&whole, data, size) <= size);
	draw(data, size, cut, rows, cols);
	return 0;
}
