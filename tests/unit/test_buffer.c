/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void an_empty_buffer_reads_as_empty_text(void **state)
{
	_cleanup_(buffer_done) struct buffer b;
	_cleanup_(freep) char *text = NULL;

	(void)state;
	buffer_init(&b, 10);
	assert_null(b.data);
	assert_string_equal(buffer_text(&b), "");
	buffer_consume(&b, 3);
	assert_int_equal(buffer_append(&b, NULL, 0), 0);
	assert_int_equal(buffer_take(&b, &text), 0);
	assert_string_equal(text, "");
}

static void it_grows_and_stays_terminated(void **state)
{
	_cleanup_(buffer_done) struct buffer b;

	(void)state;
	buffer_init(&b, 1 * MiB);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(buffer_append(&b, "a\0b", 3), 0);
		assert_int_equal(b.size, 3 * (i + 1));
		assert_int_equal(b.data[b.size], '\0');
	}
	assert_memory_equal(b.data + 2997, "a\0b", 4);
	assert_int_equal(buffer_printf(&b, "%d-%s", 12, "x"), 0);
	assert_string_equal(b.data + 3000, "12-x");
}

static void past_the_cap_nothing_is_added(void **state)
{
	_cleanup_(buffer_done) struct buffer b;

	(void)state;
	buffer_init(&b, 5);
	assert_int_equal(buffer_append_text(&b, "1234"), 0);
	assert_int_equal(buffer_append_text(&b, "56"), -EFBIG);
	assert_int_equal(buffer_printf(&b, "%d", 56), -EFBIG);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX), -EFBIG);
	assert_string_equal(buffer_text(&b), "1234");
	assert_int_equal(buffer_append_text(&b, "5"), 0);
	assert_int_equal(buffer_append_text(&b, "6"), -EFBIG);
	assert_string_equal(buffer_text(&b), "12345");
}

static void bytes_are_consumed_from_the_front(void **state)
{
	_cleanup_(buffer_done) struct buffer b;

	(void)state;
	buffer_init(&b, 100);
	buffer_append_text(&b, "hello world");
	buffer_consume(&b, 6);
	assert_string_equal(buffer_text(&b), "world");
	assert_int_equal(b.size, 5);
	buffer_consume(&b, 99);
	assert_int_equal(b.size, 0);
	assert_string_equal(buffer_text(&b), "");
}

static void reserved_room_can_be_written_in_place(void **state)
{
	_cleanup_(buffer_done) struct buffer b;

	(void)state;
	buffer_init(&b, 4096);
	assert_int_equal(buffer_reserve(&b, 4096), 0);
	memset(b.data, 'x', 4096);
	b.size += 4096;
	buffer_terminate(&b);
	assert_int_equal(strlen(b.data), 4096);
}

static void taken_bytes_belong_to_the_caller(void **state)
{
	_cleanup_(buffer_done) struct buffer b;
	_cleanup_(freep) char *text = NULL;

	(void)state;
	buffer_init(&b, 100);
	buffer_append_text(&b, "mine");
	assert_int_equal(buffer_take(&b, &text), 0);
	assert_string_equal(text, "mine");
	assert_null(b.data);
	assert_int_equal(buffer_append_text(&b, "again"), 0);
	assert_string_equal(text, "mine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_buffer_reads_as_empty_text),
		cmocka_unit_test(it_grows_and_stays_terminated),
		cmocka_unit_test(past_the_cap_nothing_is_added),
		cmocka_unit_test(bytes_are_consumed_from_the_front),
		cmocka_unit_test(reserved_room_can_be_written_in_place),
		cmocka_unit_test(taken_bytes_belong_to_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
