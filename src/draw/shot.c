/* SPDX-License-Identifier: Apache-2.0 */
#include "draw/shot.h"
#include "base/cleanup.h"

size_t screen_begin(const struct screen_input *in, struct screen_shot *shot)
{
	size_t partial;

	buffer_init(&shot->restore, SCREEN_PART_MAX);
	buffer_init(&shot->text, SCREEN_PART_MAX);
	buffer_init(&shot->ansi, SCREEN_PART_MAX);
	shot->rows = in->rows;
	shot->cols = in->cols;
	shot->row = shot->col = 0;
	shot->whole = in->record.whole != 0;
	shot->fault = NULL;
	shot->term = in->record.term;
	term_feed(&shot->term, in->bytes, in->n);
	partial = MIN(term_partial(&shot->term, in->bytes, in->n), in->n);
	term_cut(&shot->term);
	shot->offset = in->record.at + in->n - (in->at_head ? 0 : partial);
	return partial;
}

void screen_shot_done(struct screen_shot *shot)
{
	if (!shot)
		return;
	buffer_done(&shot->restore);
	buffer_done(&shot->text);
	buffer_done(&shot->ansi);
}

int screen_write_modes(const struct term *t, struct term_window w, struct buffer *b)
{
	int r = term_write_begin(t, b);

	if (r >= 0 && term_has(t, TERM_ALT_SCREEN))
		r = term_write_alternate(t, b);
	if (r >= 0)
		r = term_write_modes(t, w, b);
	if (r >= 0)
		r = term_write_cursor(t, w, 0, 0, b);
	return r < 0 ? r : term_write_end(t, b);
}

int screen_without_drawing(const struct screen_input *in, struct screen_shot *shot)
{
	struct term_window w = { in->rows, in->cols };
	int r;

	screen_shot_done(shot);
	shot->whole = false;
	if (in->record.size > 0)
		r = buffer_append(&shot->restore, in->contents, in->record.size);
	else
		r = screen_write_modes(&in->record.term, w, &shot->restore);
	return r < 0 ? r : buffer_append(&shot->restore, in->bytes, in->n);
}
