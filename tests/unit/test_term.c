/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "core/term.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its needs */
#include <cmocka.h>

static struct term fed(const char *text)
{
	struct term t;

	term_init(&t);
	term_feed(&t, text, strlen(text));
	return t;
}

static void assert_same(const struct term *a, const struct term *b)
{
	assert_int_equal(a->modes, b->modes);
	assert_int_equal(a->pen.attributes, b->pen.attributes);
	assert_int_equal(a->pen.underline, b->pen.underline);
	assert_memory_equal(&a->pen.fg, &b->pen.fg, sizeof(a->pen.fg));
	assert_memory_equal(&a->pen.bg, &b->pen.bg, sizeof(a->pen.bg));
	assert_memory_equal(&a->pen.line, &b->pen.line, sizeof(a->pen.line));
	assert_memory_equal(a->charsets.g, b->charsets.g, sizeof(a->charsets.g));
	assert_int_equal(a->charsets.gl, b->charsets.gl);
	assert_int_equal(a->top, b->top);
	assert_int_equal(a->bottom, b->bottom);
	assert_int_equal(a->cursor_shape, b->cursor_shape);
	assert_int_equal(a->modify_keys > 1 ? a->modify_keys : 0,
			 b->modify_keys > 1 ? b->modify_keys : 0);
	assert_int_equal(a->keys, b->keys);
	assert_int_equal(a->title_size, b->title_size);
	assert_memory_equal(a->title, b->title, a->title_size);
}

static void modes_are_set_and_reset_by_their_numbers(void **state _unused_)
{
	struct term t = fed("\x1b[?1049;2004h\x1b[?1;25l\x1b[4h\x1b=");

	assert_true(term_has(&t, TERM_ALT_SCREEN) && term_has(&t, TERM_PASTE));
	assert_true(term_has(&t, TERM_INSERT) && term_has(&t, TERM_APP_KEYPAD));
	assert_false(term_has(&t, TERM_CURSOR_VISIBLE) || term_has(&t, TERM_APP_CURSOR));
	assert_true(term_has(&t, TERM_AUTOWRAP));
	t = fed("\x1b[?1002;1006h\x1b[?1002l\x1b[?7l");
	assert_true(term_has(&t, TERM_MOUSE_SGR));
	assert_false(term_has(&t, TERM_MOUSE_DRAG) || term_has(&t, TERM_AUTOWRAP));
}

static void a_number_without_its_marker_is_another_mode(void **state _unused_)
{
	struct term t = fed("\x1b[2004h\x1b[?4h\x1b[>25l");

	assert_false(term_has(&t, TERM_PASTE) || term_has(&t, TERM_INSERT));
	assert_true(term_has(&t, TERM_CURSOR_VISIBLE));
}

static void modes_are_saved_and_restored(void **state _unused_)
{
	struct term t = fed("\x1b[?2004h\x1b[?2004s\x1b[?2004l\x1b[?2004r");

	assert_true(term_has(&t, TERM_PASTE));
}

static void colours_are_read_in_all_their_forms(void **state _unused_)
{
	struct term t = fed("\x1b[1;38;5;200;48;2;1;2;3m");

	assert_int_equal(t.pen.attributes, 1 << 1);
	assert_int_equal(t.pen.fg.kind, 1);
	assert_int_equal(t.pen.fg.v[0], 200);
	assert_int_equal(t.pen.bg.kind, 2);
	assert_memory_equal(t.pen.bg.v, "\1\2\3", 3);
	t = fed("\x1b[38:2::7:8:9;4:3;58:5:11m");
	assert_memory_equal(t.pen.fg.v, "\7\x8\x9", 3);
	assert_int_equal(t.pen.underline, 3);
	assert_int_equal(t.pen.line.v[0], 11);
	t = fed("\x1b[95;7m\x1b[38:2:7:8:9;27m");
	assert_memory_equal(t.pen.fg.v, "\7\x8\x9", 3);
	assert_int_equal(t.pen.attributes, 0);
	t = fed("\x1b[1;31m\x1b[m");
	assert_int_equal(t.pen.attributes, 0);
	assert_int_equal(t.pen.fg.kind, 0);
}

static void the_title_is_kept(void **state _unused_)
{
	struct term t =
		fed("\x1b]0;first\a text \x1b]2;the \xc3\xa9nd\x1b\\\x1b]4;no\a\x1b]1;icon\a");

	assert_int_equal(t.title_size, strlen("the \xc3\xa9nd"));
	assert_memory_equal(t.title, "the \xc3\xa9nd", t.title_size);
}

static void a_long_title_is_cut_between_two_characters(void **state _unused_)
{
	char text[1024] = "\x1b]2;";
	struct term t;

	for (size_t i = 4; i < 1000; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[1000] = '\a';
	t = fed(text);
	assert_int_equal(t.title_size, TERM_TITLE_MAX - 2);
	t = fed(text + 1);
	text[3] = 'x';
	memmove(text + 4, text + 3, 998);
	text[3] = ';';
	t = fed(text);
	assert_int_equal(t.title_size, TERM_TITLE_MAX - 3);
}

static void what_was_cancelled_has_no_effect(void **state _unused_)
{
	struct term t = fed("\x1b[?2004\x18h\x1b]2;no\x1a\x1b[31\x1b[1m");

	assert_false(term_has(&t, TERM_PASTE));
	assert_int_equal(t.title_size, 0);
	assert_int_equal(t.pen.fg.kind, 0);
	assert_int_equal(t.pen.attributes, 1 << 1);
}

static void controls_act_within_a_sequence(void **state _unused_)
{
	struct term t = fed("\x1b[?20\x0e"
			    "04h");

	assert_int_equal(t.charsets.gl, 1);
	assert_true(term_has(&t, TERM_PASTE));
}

static void a_full_reset_leaves_nothing_but_the_title(void **state _unused_)
{
	struct term t = fed("\x1b]2;t\a\x1b[?1049h\x1b[1;5r\x1b(0\x1b[7m\x1b[3 q\x1b"
			    "c");
	struct term fresh = fed("\x1b]2;t\a");

	assert_same(&t, &fresh);
}

static void the_keyboard_flags_are_a_stack(void **state _unused_)
{
	struct term t = fed("\x1b[>1u\x1b[>5u\x1b[=8;2u");

	assert_int_equal(t.keys, 13);
	term_feed(&t, "\x1b[<u", 4);
	assert_int_equal(t.keys, 1);
	term_feed(&t, "\x1b[<9u\x1b[>4;2m", 12);
	assert_int_equal(t.keys, 0);
	assert_int_equal(t.modify_keys, 3);
	for (unsigned i = 0; i < 50; i++)
		term_feed(&t, "\x1b[>3u", 5);
	assert_true(term_is_valid(&t));
}

static const char program[] =
	"\x1b]0;vim\a\x1b[?1049h\x1b[?2004h\x1b[>4;2m\x1b[1;24r\x1b[27m\x1b[38;5;130m 1 \x1b[m"
	"caf\xc3\xa9\x1b[48:2::9:8:7m\x1b(0lqk\x1b(B\x1b)0\x0e\x1b[?1000;1006h\x1b=\x1b[4 q\x1b[?25l"
	"\x1bP+q436f\x1b\\\x1b_apc\x1b\\\x1b[?12$p\x1b[c\x1b[4;53m\x1b[?6h\x1b[5:3m";

static void it_does_not_matter_where_the_bytes_are_cut(void **state _unused_)
{
	struct term whole = fed(program);

	for (size_t cut = 0; cut < sizeof(program); cut++) {
		struct term t;

		term_init(&t);
		term_feed(&t, program, cut);
		term_feed(&t, program + cut, sizeof(program) - 1 - MIN(cut, sizeof(program) - 1));
		assert_true(term_is_valid(&t));
		assert_same(&t, &whole);
	}
}

static const char used[] = "\x1b[?2004h\x1b[4;31m\x1b[?1003h\x1b[4h\x1b(0\x1b[2;3r\x1b[6 q";

/* A terminal that is told the state, and then what was not complete, is where the first one is. */
static void the_state_can_be_written_and_read_again(void **state _unused_)
{
	static const struct term_window window = { 24, 80 };

	for (size_t cut = 0; cut < sizeof(program); cut++) {
		_cleanup_(buffer_done) struct buffer b;
		struct term first, second;
		size_t partial;

		term_init(&first);
		term_init(&second);
		term_feed(&first, program, cut);
		partial = term_partial(&first, (const uint8_t *)program, cut);
		assert_true(partial <= cut);
		buffer_init(&b, 65536);
		assert_int_equal(term_write_begin(&first, &b), 0);
		if (term_has(&first, TERM_ALT_SCREEN))
			assert_int_equal(term_write_alternate(&first, &b), 0);
		assert_int_equal(term_write_modes(&first, window, &b), 0);
		assert_int_equal(term_write_cursor(&first, window, 3, 4, &b), 0);
		term_cut(&first);
		assert_int_equal(term_write_end(&first, &b), 0);
		term_feed(&second, used, strlen(used));
		term_feed(&second, b.data, b.size);
		if (!term_has(&first, TERM_INSERT))
			assert_same(&first, &second);
		term_feed(&first, program + cut - partial, partial);
		term_feed(&second, program + cut - partial, partial);
		term_feed(&first, program + cut, strlen(program + MIN(cut, strlen(program))));
		term_feed(&second, program + cut, strlen(program + MIN(cut, strlen(program))));
		assert_same(&first, &second);
	}
}

static void what_is_not_complete_is_known(void **state _unused_)
{
	static const struct {
		const char *text;
		size_t partial;
	} rows[] = {
		{ "plain", 0 },         { "a\x1b", 1 },          { "a\x1b[1;3", 5 },
		{ "\x1b[1m", 0 },       { "x\x1b]2;ti\x1b", 7 }, { "\xc3", 1 },
		{ "\xe2\x82", 2 },      { "\xe2\x82\xac", 0 },   { "\xf0\x9f\x98", 3 },
		{ "\x80\x80", 0 },      { "\x1bPq1\x1b[", 2 },   { "\x1b(", 2 },
		{ "\x1b[31\x1b[1", 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct term t = fed(rows[i].text);

		assert_int_equal(
			term_partial(&t, (const uint8_t *)rows[i].text, strlen(rows[i].text)),
			rows[i].partial);
	}
}

/* The rest of a picture whose beginning is gone must not be shown as text. */
static void a_long_string_stays_one(void **state _unused_)
{
	static const char *const beginnings[] = { "\x1bPq", "\x1b]52;c;" };

	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		_cleanup_(buffer_done) struct buffer b;
		char pixels[TERM_PARTIAL_MAX];
		struct term t = fed(beginnings[i]), again;

		memset(pixels, '~', sizeof(pixels));
		term_feed(&t, pixels, sizeof(pixels));
		assert_int_equal(term_partial(&t, (const uint8_t *)pixels, sizeof(pixels)), 0);
		term_cut(&t);
		buffer_init(&b, 65536);
		assert_int_equal(term_write_end(&t, &b), 0);
		term_init(&again);
		term_feed(&again, b.data, b.size);
		assert_int_equal(again.state, t.state);
		term_feed(&again, "?2004h[?2004h\x1b\\\x1b[1m", 19);
		assert_false(term_has(&again, TERM_PASTE));
		assert_int_equal(again.pen.attributes, 1 << 1);
		assert_int_equal(again.title_size, 0);
	}
}

static void a_damaged_state_is_seen(void **state _unused_)
{
	struct term t = fed("x");

	assert_true(term_is_valid(&t));
	t.n_params = TERM_PARAMS_MAX + 1;
	assert_false(term_is_valid(&t));
	t = fed("x");
	t.title_size = TERM_TITLE_MAX + 1;
	assert_false(term_is_valid(&t));
	t = fed("x");
	t.charsets.gl = 4;
	assert_false(term_is_valid(&t));
	t = fed("x");
	t.state = 200;
	assert_false(term_is_valid(&t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_are_set_and_reset_by_their_numbers),
		cmocka_unit_test(a_number_without_its_marker_is_another_mode),
		cmocka_unit_test(modes_are_saved_and_restored),
		cmocka_unit_test(colours_are_read_in_all_their_forms),
		cmocka_unit_test(the_title_is_kept),
		cmocka_unit_test(a_long_title_is_cut_between_two_characters),
		cmocka_unit_test(what_was_cancelled_has_no_effect),
		cmocka_unit_test(controls_act_within_a_sequence),
		cmocka_unit_test(a_full_reset_leaves_nothing_but_the_title),
		cmocka_unit_test(the_keyboard_flags_are_a_stack),
		cmocka_unit_test(it_does_not_matter_where_the_bytes_are_cut),
		cmocka_unit_test(the_state_can_be_written_and_read_again),
		cmocka_unit_test(what_is_not_complete_is_known),
		cmocka_unit_test(a_long_string_stays_one),
		cmocka_unit_test(a_damaged_state_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
