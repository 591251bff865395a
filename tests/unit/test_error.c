/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/text.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_message_names_the_thing_and_the_code_gives_the_errno(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(error_set(&e, ERROR_NOT_FOUND, "session \"%s\" not found", "x"), -ENOENT);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
	assert_string_equal(e.message, "session \"x\" not found");
	assert_int_equal(error_set(NULL, ERROR_ALREADY_EXISTS, "unused"), -EEXIST);
}

static void the_reason_of_an_errno_follows_the_step(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(error_set_errno(&e, ERROR_INTERNAL, -ENOENT, "execve \"foo\""), -ENOENT);
	assert_int_equal(e.code, ERROR_INTERNAL);
	assert_string_equal(e.message, "execve \"foo\": No such file or directory");
	assert_int_equal(error_set_errno(NULL, ERROR_INTERNAL, ENOENT, "unused"), -ENOENT);
}

static void running_out_of_something_is_exhausted_whatever_was_said(void **state)
{
	static const int errnums[] = { EMFILE, ENFILE, ENOSPC, -ENOMEM, EDQUOT };
	struct error e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errnums); i++) {
		error_set_errno(&e, ERROR_INTERNAL, errnums[i], "pipe2");
		assert_int_equal(e.code, ERROR_EXHAUSTED);
	}
}

static void a_long_message_is_cut_between_two_characters(void **state)
{
	char text[ERROR_MESSAGE_MAX + 64];
	struct error e;

	(void)state;
	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', sizeof(text));
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 3);
		text[sizeof(text) - 1] = '\0';
		error_set(&e, ERROR_INTERNAL, "%s", text);
		assert_in_range(strlen(e.message), ERROR_MESSAGE_MAX - 4, ERROR_MESSAGE_MAX - 1);
		assert_true(text_is_utf8(e.message, strlen(e.message)));
		assert_memory_equal(e.message, text, strlen(e.message));
	}
}

static void a_long_step_gives_way_to_the_reason(void **state)
{
	char text[2 * ERROR_MESSAGE_MAX];
	struct error e;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	error_set_errno(&e, ERROR_INTERNAL, EACCES, "open \"%s\"", text);
	assert_non_null(strstr(e.message, "x: Permission denied"));
	assert_int_equal(strlen(e.message), ERROR_MESSAGE_MAX - 1);
}

static void a_message_is_always_printable_text(void **state)
{
	struct error e;

	(void)state;
	error_set(&e, ERROR_NOT_FOUND, "no \"%s\"\n", "a\x1b[31m\xff\xc3\xa9\xc3");
	assert_string_equal(e.message, "no \"a?[31m?\xc3\xa9?\"\n");
	error_set(&e, ERROR_NOT_FOUND, "%s", "\xc2\x9b\x31m\xc2\xa0\xc2\x80"); /* CSI, 1 m */
	assert_string_equal(e.message, "??1m\xc2\xa0??");
}

static void every_code_has_a_name_a_status_and_a_way_back(void **state)
{
	(void)state;
	for (int code = ERROR_INVALID_ARGUMENT; code < N_ERROR_CODES; code++) {
		const char *name = error_code_name(code);

		assert_non_null(name);
		assert_int_equal(error_code_from_name(name), code);
		assert_in_range(error_code_http_status(code), 400, 599);
		assert_true(error_set(NULL, code, "x") < 0);
	}
	assert_string_equal(error_code_name(ERROR_NOT_FOUND), "not_found");
	assert_int_equal(error_code_http_status(ERROR_WRONG_OFFSET), 409);
	assert_int_equal(error_code_http_status(ERROR_EXHAUSTED), 507);
	assert_null(error_code_name(N_ERROR_CODES));
	assert_int_equal(error_code_from_name("teapot"), ERROR_NONE);
	assert_int_equal(error_code_from_name(NULL), ERROR_NONE);
}

static void only_what_may_pass_by_itself_is_retryable(void **state)
{
	(void)state;
	assert_true(error_code_retryable(ERROR_RATE_LIMITED));
	assert_true(error_code_retryable(ERROR_UNAVAILABLE));
	assert_true(error_code_retryable(ERROR_EXHAUSTED));
	assert_false(error_code_retryable(ERROR_NOT_FOUND));
	assert_false(error_code_retryable(ERROR_WRONG_STATE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_names_the_thing_and_the_code_gives_the_errno),
		cmocka_unit_test(the_reason_of_an_errno_follows_the_step),
		cmocka_unit_test(running_out_of_something_is_exhausted_whatever_was_said),
		cmocka_unit_test(a_long_message_is_cut_between_two_characters),
		cmocka_unit_test(a_long_step_gives_way_to_the_reason),
		cmocka_unit_test(a_message_is_always_printable_text),
		cmocka_unit_test(every_code_has_a_name_a_status_and_a_way_back),
		cmocka_unit_test(only_what_may_pass_by_itself_is_retryable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
