/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal_keys.h"
#include "cli/terminal_modes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- keys ------------------------------------------------------------------------------------ */

static struct terminal_keys keys(const char *text)
{
	struct terminal_keys k;
	struct error e = { 0 };

	assert_int_equal(terminal_keys_parse(&k, text, &e), 0);
	return k;
}

static void assert_keys(const char *text, const char *expected)
{
	struct terminal_keys k = keys(text);

	assert_int_equal(k.n, strlen(expected));
	assert_memory_equal(k.keys, expected, k.n);
}

static void keys_are_read_in_every_notation(void **state)
{
	(void)state;
	assert_keys("ctrl-]", "\035");
	assert_keys("CTRL-P,ctrl-q", "\020\021");
	assert_keys("ctrl-a,d", "\001d");
	assert_keys("^Ad", "\001d");
	assert_keys("^A d", "\001d");
	assert_keys("^a^D", "\001\004");
	assert_keys("^\\", "\034");
	assert_keys("ctrl-?", "\177");
	assert_keys("^", "^");
	assert_keys("q", "q");
	assert_keys("none", "");
}

static void keys_that_make_no_sense_are_refused(void **state)
{
	static const char *const wrong[] = { "",        "ctrl-",    "ctrl-1x",
					     "detach",  "ctrl-~",   "a,,b",
					     "ctrl-]x", "\303\251", "a,b,c,d,e,f,g,h,i" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct terminal_keys k;
		struct error e = { 0 };

		assert_true(terminal_keys_parse(&k, wrong[i], &e) < 0);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
	}
}

/* Types in pieces of `size`; what came through must be `expected`. Returns whether it detached. */
static bool type(struct terminal_keys *k, const char *typed, size_t size, const char *expected)
{
	uint8_t out[256];
	size_t n = strlen(typed), done = 0;
	bool detach = false;

	for (size_t i = 0; i < n && !detach; i += size) {
		size_t piece = n - i < size ? n - i : size;

		done += terminal_keys_filter(k, (const uint8_t *)typed + i, piece, out + done,
					     &detach);
	}
	assert_int_equal(done, strlen(expected));
	assert_memory_equal(out, expected, done);
	return detach;
}

static void keys_detach_wherever_they_are_cut(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 4; size++) {
		struct terminal_keys k = keys("^Ad");

		assert_true(type(&k, "ab\001dcd", size, "ab"));
		assert_false(type(&k, "ab\001xcd", size, "ab\001xcd"));
		assert_true(type(&k, "\001\001d", size, "\001"));
		k = keys("a,a,b");
		assert_true(type(&k, "aaab", size, "a"));
		assert_false(type(&k, "aac", size, "aac"));
	}
}

static void no_key_detaches_when_there_is_none(void **state)
{
	struct terminal_keys k = keys("none");

	(void)state;
	assert_false(type(&k, "\035\001d\020\021", 1, "\035\001d\020\021"));
}

static void a_pasted_key_does_not_detach(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 7; size++) {
		struct terminal_keys k = keys("ctrl-]");

		assert_false(
			type(&k, "\033[200~x\035y\033[201~", size, "\033[200~x\035y\033[201~"));
		assert_true(type(&k, "z\035", size, "z"));
	}
}

/* --- modes ----------------------------------------------------------------------------------- */

static void assert_undo(const char *written, const char *expected)
{
	for (size_t size = 1; size <= 5; size++) {
		struct terminal_modes m = { 0 };
		char undo[TERMINAL_UNDO_MAX];
		size_t n = strlen(written);

		for (size_t i = 0; i < n; i += size)
			terminal_modes_feed(&m, (const uint8_t *)written + i,
					    n - i < size ? n - i : size);
		n = terminal_modes_undo(&m, undo);
		assert_int_equal(n, strlen(expected));
		assert_memory_equal(undo, expected, n);
	}
}

static void plain_text_leaves_nothing_to_undo(void **state)
{
	(void)state;
	assert_undo("\033]11;?\a\033]4;1;?\a\033]0;4;1;x\a\033]52;c;8;;\a\033P8;;x\033\\", "");
	assert_undo("hello\r\n\xe4\xb8\xad \033[2J\033[10;10H\033[K", "");
}

static void what_is_switched_on_is_undone(void **state)
{
	(void)state;
	assert_undo("\033[?1049h", "\033[?1049l");
	assert_undo("\033[?2004h\033[?25l", "\033[?2004l\033[?25h");
	assert_undo("\033[?1000;1006h", "\033[?1000l\033[?1006l");
	assert_undo("\033[?7l", "\033[?7h");
	assert_undo("\033=\033[?1h", "\033[?1l\033>");
	assert_undo("\033[4 q", "\033[0 q");
	assert_undo("\033[5;10r", "\0337\033[r\0338");
	assert_undo("\033[1;31m", "\033[0m");
	assert_undo("\033(0", "\033(B\033)B\017");
	assert_undo("\033[>1u\033[>5u", "\033[<2u");
	assert_undo("\033[>4;2m", "\033[>4;0m");
	assert_undo("\033[?1049h\033[=5u", "\033[=0u\033[?1049l");
	assert_undo("\033[=1;2u\033[=0;2u", "\033[=0u");
	assert_undo("\033]8;id=1;http://here\033\\", "\033]8;;\033\\");
	assert_undo("\033]4;1;rgb:1/2/3\a\033]10;red\a", "\033]104\033\\\033]110\033\\");
	assert_undo("\033]11;#000\033\\\033]12;red\a", "\033]111\033\\\033]112\033\\");
}

static void what_only_the_terminal_knows_is_given_back_by_it(void **state)
{
	(void)state;
	assert_undo("\033[?12;25h", "\033[?12l\033[?12r");
	assert_undo("\033[?12l", "\033[?12l\033[?12r");
	assert_undo("\033[?1007l", "\033[?1007r");
}

static void tab_stops_stand_in_every_eighth_column_again(void **state)
{
	char expected[TERMINAL_UNDO_MAX] = "\0337\033[3g\r";

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		strcat(expected, "\033[8C\033H");
	strcat(expected, "\0338");
	assert_undo("\033[3g", expected);
	assert_undo("\033[g", expected);
	assert_undo("ab\033Hcd", expected);
	assert_undo("\033[3g\033H\033c", "");
}

static void what_the_program_undoes_is_not_undone_again(void **state)
{
	(void)state;
	assert_undo("\033[?1049h\033[?25l\033[?25h\033[?1049l", "");
	assert_undo("\033=\033>\033[1m\033[m\033(0\033(B\033[4 q\033[0 q", "");
	assert_undo("\033[>1u\033[<u", "");
	assert_undo("\033[=5u\033[=0u", "");
	assert_undo("\033]8;;http://here\a\033]8;;\a\033]11;red\a\033]111\a", "");
	assert_undo("\033[?1049h\033[?2004h\033c", "");
}

static void a_sequence_that_is_cut_off_is_cancelled(void **state)
{
	(void)state;
	assert_undo("\033[?10", "\030\033\\");
	assert_undo("\033]0;a title", "\030\033\\");
	assert_undo("\033]0;a title\a", "");
	assert_undo("\033]0;a title\033\\", "");
}

static void everything_at_once_fits(void **state)
{
	struct terminal_modes m = { 0 };
	char undo[TERMINAL_UNDO_MAX], text[128];

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		int n = snprintf(text, sizeof(text), "\033[?%u%c", i,
				 i == 7 || i == 25 ? 'l' : 'h');

		terminal_modes_feed(&m, (const uint8_t *)text, (size_t)n);
	}
	for (unsigned i = 0; i < 100; i++)
		terminal_modes_feed(&m, (const uint8_t *)"\033[>1u", 5);
	strcpy(text, "\033=\033[4 q\033[2;3r\033[1m\033(0\033[4h\033[20h\033[>4;2m\033[3g\033[=1u"
		     "\033]8;;x\a\033]4;1;x\a\033]10;x\a\033]11;x\a\033]12;x\a\033[");
	terminal_modes_feed(&m, (const uint8_t *)text, strlen(text));
	assert_in_range(terminal_modes_undo(&m, undo), 100, TERMINAL_UNDO_MAX - 64);
}

static void a_line_that_has_begun_is_known(void **state)
{
	struct terminal_modes m = { 0 };

	(void)state;
	assert_false(terminal_modes_in_line(&m));
	terminal_modes_feed(&m, (const uint8_t *)"$ ", 2);
	assert_true(terminal_modes_in_line(&m));
	terminal_modes_feed(&m, (const uint8_t *)"\r\n", 2);
	assert_false(terminal_modes_in_line(&m));
	terminal_modes_feed(&m, (const uint8_t *)"\033[?1049hx", 9);
	assert_false(terminal_modes_in_line(&m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_read_in_every_notation),
		cmocka_unit_test(keys_that_make_no_sense_are_refused),
		cmocka_unit_test(keys_detach_wherever_they_are_cut),
		cmocka_unit_test(no_key_detaches_when_there_is_none),
		cmocka_unit_test(a_pasted_key_does_not_detach),
		cmocka_unit_test(plain_text_leaves_nothing_to_undo),
		cmocka_unit_test(what_is_switched_on_is_undone),
		cmocka_unit_test(what_only_the_terminal_knows_is_given_back_by_it),
		cmocka_unit_test(tab_stops_stand_in_every_eighth_column_again),
		cmocka_unit_test(what_the_program_undoes_is_not_undone_again),
		cmocka_unit_test(a_sequence_that_is_cut_off_is_cancelled),
		cmocka_unit_test(everything_at_once_fits),
		cmocka_unit_test(a_line_that_has_begun_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
