/* SPDX-License-Identifier: Apache-2.0 */
#include "draw/paint.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its needs */
#include <cmocka.h>

#define ROWS 6U
#define COLS 12U

static struct screen_input input_of(const char *bytes, size_t n)
{
	struct screen_input in = {
		.record = { .whole = 1 },
		.bytes = (uint8_t *)(uintptr_t)bytes,
		.n = n,
		.rows = ROWS,
		.cols = COLS,
	};

	term_init(&in.record.term);
	return in;
}

static void done(struct screen_shot *shot)
{
	buffer_done(&shot->restore);
	buffer_done(&shot->text);
	buffer_done(&shot->ansi);
}

static void assert_screen(const char *bytes, const char *text, unsigned row, unsigned col)
{
	struct screen_input in = input_of(bytes, strlen(bytes));
	struct screen_shot shot = { 0 };

	assert_int_equal(screen_draw(&in, SCREEN_TEXT, &shot), 0);
	assert_string_equal(buffer_text(&shot.text), text);
	assert_int_equal(shot.row, row);
	assert_int_equal(shot.col, col);
	done(&shot);
}

static void text_stands_where_the_program_put_it(void **state _unused_)
{
	assert_screen("one\r\ntwo", "one\ntwo\n\n\n\n\n", 1, 3);
	assert_screen("\x1b[3;4Hx\x1b[1;12Hend", "           e\nnd\n   x\n\n\n\n", 1, 2);
	assert_screen("1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7", "2\n3\n4\n5\n6\n7\n", 5, 1);
	assert_screen("\xe6\xbc\xa2\xc3\xa9 e\xcc\x81",
		      "\xe6\xbc\xa2\xc3\xa9 e\xcc\x81\n\n\n\n\n\n", 0, 5);
}

static void what_libvterm_cannot_bear_is_kept_from_it(void **state _unused_)
{
	assert_screen("a\x1b[3bb\x1b[b", "aaaabb\n\n\n\n\n\n", 0, 6);
	assert_screen("\x1b[5bx\x1b]2;t\x1b\\\x1b[2b", "xxx\n\n\n\n\n\n", 0, 3);
	assert_screen("\x1b[1;9H\xe6\xbc\xa2\x1b[1b",
		      "        \xe6\xbc\xa2\xe6\xbc\xa2\n\n\n\n\n\n", 0, 10);
	assert_screen("a\xc2\x85\xc2\x9b"
		      "b",
		      "ab\n\n\n\n\n\n", 0, 2);
	assert_screen("\xc2\x03\x8c\x1b[Xa\xc2\x1b[m\x8c\x1b[X",
		      "\xef\xbf\xbd"
		      "a\xef\xbf\xbd\n\n\n\n\n\n",
		      0, 3);
	assert_screen("a\x1b]52;c;\xff\x1b[1mb\x1bPq\x1b"
		      "7c\x1b_x\x1b\\d",
		      "abcd\n\n\n\n\n\n", 0, 4);
}

static void a_sequence_of_many_parameters_takes_effect(void **state _unused_)
{
	const char *bytes = "\x1b[1;2;3;4;5;7;8;9;53;0;1;38;2;1;2;3;48;2;4;5;6;4mx";
	struct screen_input in = input_of(bytes, strlen(bytes));
	struct screen_shot shot = { 0 };

	assert_int_equal(screen_draw(&in, SCREEN_ANSI, &shot), 0);
	assert_string_equal(buffer_text(&shot.ansi),
			    "\x1b[0;1;4m\x1b[38;2;1;2;3m\x1b[48;2;4;5;6mx\x1b[m\n\n\n\n\n\n");
	done(&shot);
}

static void the_alternate_screen_covers_the_primary(void **state _unused_)
{
	assert_screen("below\x1b[?1049h\x1b[Habove", "above\n\n\n\n\n\n", 0, 5);
	assert_screen("below\x1b[?1049h\x1b[Habove\x1b[?1049l", "below\n\n\n\n\n\n", 0, 5);
}

static void each_screen_has_a_saved_cursor_of_its_own(void **state _unused_)
{
	assert_screen("a\x1b[sbc\x1b[uX", "aXc\n\n\n\n\n\n", 0, 2);
	assert_screen("one\x1b[?1049h\x1b[3;3H\x1b\x37\x1b[?1049l.", "one.\n\n\n\n\n\n", 0, 4);
	assert_screen("\x1b[?1049h\x1b[3;3H\x1b\x37\x1b[Hx\x1b\x38y", "x\n\n  y\n\n\n\n", 2, 3);
	assert_screen("one\x1b[?1049h\x1b[3;3H\x1b\x38x", "x\n\n\n\n\n\n", 0, 1);
}

static void colours_are_written_once(void **state _unused_)
{
	const char *bytes = "\x1b[1;31mred\x1b[m plain\r\n\x1b[44m  \x1b[m";
	struct screen_input in = input_of(bytes, strlen(bytes));
	struct screen_shot shot = { 0 };

	assert_int_equal(screen_draw(&in, SCREEN_ANSI, &shot), 0);
	assert_string_equal(buffer_text(&shot.ansi),
			    "\x1b[0;1;31mred\x1b[0m plain\n\x1b[0;44m  \x1b[m\n\n\n\n\n");
	done(&shot);
}

/* Programs with all that is restored, and something incomplete at many places. */
static const char *const programs[] = {
	"$ ls\r\n\x1b[1;34mdir\x1b[m file\r\n$ \x1b[?2004h",
	"shell\r\n$ vi\x1b[?1049h\x1b[?1h\x1b=\x1b[2;5r\x1b[H\x1b[31mtext\x1b[m\x1b[6;1H-- \xc3\xa9 --",
	"$ less\x1b[?1049h\x1b[3;3Ha\x1b[4 q\x1b]2;title\a\x1b[?1002;1006h",
	"123456789012",
	"123456789012\x1b[?1049h123456789012",
	"\x1b[5;6ra\x1b[?6hb",
	"\x1b[43mx\x1b[J",
	"abc\x1b[?6h\x1b[2;4r\x1b[2;2H\x1b[7mx",
	"\x1b[?5hnegative\x1b[7mnot\x1b[m",
	"\x1b(0lqqk\x1b(B\r\n\x0e\x1b)0x",
	"\xe6\xbc\xa2\xe5\xad\x97 wide \x1b[1;11H\xe6\xbc\xa2",
	"1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n\x1b[4hi\x1b[38;2;1;2;3;48;5;9m.",
	"\x1b[6;12Hx",
	"\x1b[3g\x1b[4G\x1bH\x1b[7G\x1bH\r1\t2",
	"\x1b[9G\x1b[g\x1b[3G\x1bHtabs\x1b[?1049h",
	"\x1b[3G\x1bH\x1b[3g\x1b\x63x",
	"ab\x1b[sc\x1b[5;3Hd\x1b[ue",
	"\x1b[32mone\x1b[?1049h\x1b[3;3H\x1b[31m\x1b)0\x0e\x1b\x37\x0f\x1b[m\x1b[5;1Hx",
	"one\x1b[?1049h\x1b[4;2H\x1b[s\x1b[H\x1b[?1049l\x1b[?1049htwo",
	"one\x1b[?1049h\x1b[4;2H\x1b[?1049h\x1b[Htwo\x1b[?1048l-",
	"\x1b[?69h\x1b[3;8s\x1b[?6h\x1b[2;3Hy",
	"1\r\n2\r\n3\r\n4\x1b[?69h\x1b[3;8s\x1b[2;4r\x1b[4;3Habcd\n",
	"\x1b[?69h\x1b[3;8sx\x1b[?69ly\x1b[2;2H\x1b[sz",
};

/* What comes behind shows what the eye does not see. */
static const char *const sequels[] = {
	"y",          "\r\nz",        "\r\tT\tU",     "\x1b[Hq\x1bMr",
	"qqqq\x0fqq", "\x1b[?1049l.", "\x1b[6;1H\nw", "\x1b\x38S",
};

static void draw_all(const struct screen_input *in, struct screen_shot *shot)
{
	*shot = (struct screen_shot){ 0 };
	assert_int_equal(screen_draw(in, SCREEN_ANSI | SCREEN_TEXT | SCREEN_RESTORE, shot), 0);
}

static void assert_same_screen(const struct screen_shot *a, const struct screen_shot *b)
{
	assert_string_equal(buffer_text(&a->ansi), buffer_text(&b->ansi));
	assert_string_equal(buffer_text(&a->restore), buffer_text(&b->restore));
	assert_int_equal(a->row, b->row);
	assert_int_equal(a->col, b->col);
	assert_int_equal(a->term.modes, b->term.modes);
}

/* The program's first bytes, the rest, and a sequel: drawn at once, or the rest on a terminal to
 * which the first part was restored. */
static void assert_goes_on(const char *program, size_t cut, const char *sequel)
{
	_cleanup_(buffer_done) struct buffer all, restored;
	struct screen_shot half, direct, again;
	struct screen_input in = input_of(program, cut);

	buffer_init(&all, 65536);
	buffer_init(&restored, 65536);
	in.at_head = true;
	draw_all(&in, &half);
	assert_int_equal(half.offset, cut);
	assert_int_equal(buffer_append_text(&all, program), 0);
	assert_int_equal(buffer_append_text(&all, sequel), 0);
	/* A terminal that was used before. */
	assert_int_equal(buffer_append_text(&restored,
					    "junk\x1b[?1049h\x1b[31;4mjunk\x1b[4h\x1b[3;4r"
					    "\x1b[?6h\x0e\x1b)0\x1b[?5h\x1b[?2004h"),
			 0);
	assert_int_equal(buffer_append(&restored, half.restore.data, half.restore.size), 0);
	assert_int_equal(buffer_append_text(&restored, program + cut), 0);
	assert_int_equal(buffer_append_text(&restored, sequel), 0);
	in = input_of(all.data, all.size);
	draw_all(&in, &direct);
	in = input_of(restored.data, restored.size);
	draw_all(&in, &again);
	assert_same_screen(&direct, &again);
	done(&half);
	done(&direct);
	done(&again);
}

static void a_restored_terminal_goes_on_as_the_first_would(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		for (size_t cut = 0; cut <= strlen(programs[i]); cut++)
			for (size_t k = 0; k < ARRAY_SIZE(sequels); k++)
				assert_goes_on(programs[i], cut, sequels[k]);
}

/* The same with a record instead of a terminal. */
static void a_record_goes_on_as_the_first_would(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		size_t n = strlen(programs[i]);

		for (size_t cut = 0; cut <= n; cut++) {
			struct screen_input in = input_of(programs[i], cut);
			struct screen_shot half, direct, again;

			draw_all(&in, &half);
			assert_true(half.offset <= cut);
			in = input_of(programs[i] + half.offset, n - half.offset);
			in.record = (struct screen_record){
				.at = half.offset,
				.rows = ROWS,
				.cols = COLS,
				.size = (uint32_t)half.restore.size,
				.term = half.term,
			};
			in.contents = half.restore.data;
			draw_all(&in, &again);
			assert_int_equal(again.offset, n);
			in = input_of(programs[i], n);
			draw_all(&in, &direct);
			assert_same_screen(&direct, &again);
			done(&half);
			done(&direct);
			done(&again);
		}
	}
}

static void without_contents_the_modes_still_hold(void **state _unused_)
{
	struct screen_input in = input_of("x", 1);
	struct screen_shot shot;

	in.record.at = 1000;
	term_feed(&in.record.term, "\x1b[?1049h\x1b[1;31m\x1b(0", 18);
	draw_all(&in, &shot);
	assert_string_equal(buffer_text(&shot.ansi), "\x1b[0;1;31m\xe2\x94\x82\x1b[m\n\n\n\n\n\n");
	assert_true(term_has(&shot.term, TERM_ALT_SCREEN));
	assert_int_equal(shot.offset, 1001);
	done(&shot);
}

static void another_window_shows_what_fits(void **state _unused_)
{
	static const struct {
		uint16_t rows, cols;
	} sizes[] = { { 1, 8 }, { 2, 9 }, { 50, 10 }, { 3, 100 }, { 6, 12 }, { 300, 1000 } };
	static const char scrolls[] = "\r\nmore\n\n\n\n\n\n\n", erases[] = "\x1b[J";

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		for (size_t k = 0; k < 2 * ARRAY_SIZE(sizes); k++) {
			struct screen_input in = input_of(programs[i], strlen(programs[i]));
			const char *sequel = k % 2 ? scrolls : erases;
			struct screen_shot first, shot;

			draw_all(&in, &first);
			in = input_of(sequel, strlen(sequel));
			in.record.at = first.offset;
			in.record.rows = ROWS;
			in.record.cols = COLS;
			in.record.size = (uint32_t)first.restore.size;
			in.record.term = first.term;
			in.contents = first.restore.data;
			in.rows = sizes[k / 2].rows;
			in.cols = sizes[k / 2].cols;
			draw_all(&in, &shot);
			assert_true(shot.row < in.rows && shot.col < in.cols);
			done(&first);
			done(&shot);
		}
}

/* Lines that were scrolled away are not drawn at all; where there may be margins, they are. */
static void a_flood_is_drawn_as_its_last_lines_are(void **state)
{
	static const char *const begins[] = { "\x1b[41mtop\r\n\x1b[m", "\x1b[2;4r",
					      "\x1b[5;5H\x1b[4h", "\x1b)0" };
	static const char *const between[] = { "", "\t\x0e", "\b\x0f\xc3\xa9" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(begins) * ARRAY_SIZE(between); i++) {
		struct screen_shot shots[2];

		for (int all = 0; all < 2; all++) {
			_cleanup_(buffer_done) struct buffer b;
			struct screen_input in = { .rows = 6, .cols = 12, .at_head = true };

			buffer_init(&b, SCREEN_PART_MAX);
			term_init(&in.record.term);
			assert_int_equal(buffer_printf(&b, "\x1b[?69%c%s", all ? 'h' : 'l',
						       begins[i % ARRAY_SIZE(begins)]),
					 0);
			for (int line = 0; line < 100; line++)
				assert_int_equal(
					buffer_printf(&b, "%sq%d\r\n",
						      line == 40 ? between[i / ARRAY_SIZE(begins)]
								 : "",
						      line),
					0);
			assert_int_equal(buffer_append_text(&b, "\x1b[?69l"), 0);
			in.bytes = (uint8_t *)b.data;
			in.n = b.size;
			draw_all(&in, &shots[all]);
		}
		assert_same_screen(&shots[0], &shots[1]);
		screen_shot_done(&shots[0]);
		screen_shot_done(&shots[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_is_drawn_as_its_last_lines_are),
		cmocka_unit_test(text_stands_where_the_program_put_it),
		cmocka_unit_test(what_libvterm_cannot_bear_is_kept_from_it),
		cmocka_unit_test(a_sequence_of_many_parameters_takes_effect),
		cmocka_unit_test(the_alternate_screen_covers_the_primary),
		cmocka_unit_test(each_screen_has_a_saved_cursor_of_its_own),
		cmocka_unit_test(colours_are_written_once),
		cmocka_unit_test(a_restored_terminal_goes_on_as_the_first_would),
		cmocka_unit_test(a_record_goes_on_as_the_first_would),
		cmocka_unit_test(without_contents_the_modes_still_hold),
		cmocka_unit_test(another_window_shows_what_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
