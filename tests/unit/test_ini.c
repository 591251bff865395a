/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/ini.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was read, as text: "section.key=value;" and "!line;". */
struct seen {
	char text[2048];
	char why[256];
};

static int on_value(const char *section, const char *key, const char *value, void *data,
		    struct error *e)
{
	struct seen *seen = data;
	size_t n = strlen(seen->text);

	if (strcmp(key, "refused") == 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "not this one");
	snprintf(seen->text + n, sizeof(seen->text) - n, "%s.%s=%s;", section, key, value);
	return 0;
}

static void on_wrong(unsigned line, const char *why, void *data)
{
	struct seen *seen = data;
	size_t n = strlen(seen->text);

	snprintf(seen->text + n, sizeof(seen->text) - n, "!%u;", line);
	snprintf(seen->why, sizeof(seen->why), "%s", why);
}

static void check_n(const char *text, size_t n, const char *expected)
{
	struct seen seen = { .text = "" };

	ini_parse(text, n, on_value, on_wrong, &seen);
	assert_string_equal(seen.text, expected);
}

static void check(const char *text, const char *expected)
{
	check_n(text, strlen(text), expected);
}

static void values_stand_in_sections(void **state)
{
	(void)state;
	check("[a]\nx=1\ny = two words \n[b-c_9]\n\tx =\t3", "a.x=1;a.y=two words;b-c_9.x=3;");
	check("x=1\n", ".x=1;");
	check("[a]\nx=\ny==\n", "a.x=;a.y==;");
	check("[ a ]\r\nx=1\r\n", "a.x=1;");
}

static void comments_and_empty_lines_say_nothing(void **state)
{
	(void)state;
	check("", "");
	check("\n\n  \t\n# x = 1\n ; y = 2\n[a]\n#\nx = 1 # no comment", "a.x=1 # no comment;");
}

static void a_wrong_line_is_named_and_passed_over(void **state)
{
	(void)state;
	check("[a]\nnonsense\nx=1\n=5\na b=1\ny=2", "!2;a.x=1;!4;!5;a.y=2;");
}

static void a_value_behind_a_wrong_section_is_passed_over(void **state)
{
	(void)state;
	check("[a\nx=1\n[a] b\nx=2\n[]\nx=3\n[a b]\nx=4\n[c]\nx=5", "!1;!3;!5;!7;c.x=5;");
}

static void a_refused_value_is_wrong_for_the_reason_given(void **state)
{
	struct seen seen = { .text = "" };
	const char text[] = "[a]\n\nrefused = 1\n";

	(void)state;
	ini_parse(text, strlen(text), on_value, on_wrong, &seen);
	assert_string_equal(seen.text, "!3;");
	assert_string_equal(seen.why, "not this one");
}

static void a_line_has_a_limit_and_no_nul(void **state)
{
	char text[INI_LINE_MAX + 16];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + INI_LINE_MAX, "\nx=1", 5);
	check(text, "!1;.x=1;");
	text[1] = '=';
	text[INI_LINE_MAX - 1] = '\n';
	text[INI_LINE_MAX] = '\0';
	text[4] = '\0';
	check_n(text, INI_LINE_MAX, "!1;");
	check_n("x=1\nx\0y=2\ny=3", 13, ".x=1;!2;.y=3;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_stand_in_sections),
		cmocka_unit_test(comments_and_empty_lines_say_nothing),
		cmocka_unit_test(a_wrong_line_is_named_and_passed_over),
		cmocka_unit_test(a_value_behind_a_wrong_section_is_passed_over),
		cmocka_unit_test(a_refused_value_is_wrong_for_the_reason_given),
		cmocka_unit_test(a_line_has_a_limit_and_no_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
