/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_write.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void members_and_items_are_parted_by_commas(void **state)
{
	_cleanup_(buffer_done) struct buffer b;
	struct json_writer w = { .to = &b };

	(void)state;
	buffer_init(&b, 1024);
	json_write_open(&w, NULL, '{');
	json_write_text(&w, "a", "x");
	json_write_open(&w, "list", '[');
	json_write_open(&w, NULL, '{');
	json_write_close(&w, '}');
	json_write_bool(&w, NULL, true);
	json_write_integer(&w, NULL, 7);
	json_write_close(&w, ']');
	json_write_raw(&w, "");
	json_write_value(&w, "absent", NULL);
	json_write_raw(&w, "\"b\":1,\"c\":2");
	json_write_value(&w, "value", json_pack("[n, s]", "y"));
	json_write_bool(&w, "no", false);
	json_write_close(&w, '}');
	assert_int_equal(w.error, 0);
	assert_string_equal(buffer_text(&b), "{\"a\":\"x\",\"list\":[{},true,7],\"b\":1,\"c\":2,"
					     "\"value\":[null,\"y\"],\"no\":false}");
}

/* What jansson reads again is what was written. */
static void each_character_survives(void **state)
{
	_cleanup_(buffer_done) struct buffer b;
	struct json_writer w = { .to = &b };
	char text[300];
	json_t *list;
	size_t n = 0;

	(void)state;
	buffer_init(&b, 4096);
	for (int c = 1; c < 128; c++)
		text[n++] = (char)c;
	strcpy(text + n, "\xc3\xa4\xf0\x9f\x8d\x8e\"");
	json_write_open(&w, NULL, '[');
	json_write_text(&w, NULL, text);
	json_write_text(&w, NULL, "");
	json_write_close(&w, ']');
	list = json_loads(buffer_text(&b), 0, NULL);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_array_get(list, 0)), text);
	assert_string_equal(json_string_value(json_array_get(list, 1)), "");
	json_decref(list);
}

static void integers_reach_from_one_end_to_the_other(void **state)
{
	static const struct {
		int64_t value;
		const char *text;
	} samples[] = {
		{ 0, "0" },
		{ -1, "-1" },
		{ 10, "10" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		_cleanup_(buffer_done) struct buffer b;
		struct json_writer w = { .to = &b };

		buffer_init(&b, 64);
		json_write_integer(&w, NULL, samples[i].value);
		assert_string_equal(buffer_text(&b), samples[i].text);
	}
}

static void nothing_follows_what_did_not_fit(void **state)
{
	_cleanup_(buffer_done) struct buffer b;
	struct json_writer w = { .to = &b };

	(void)state;
	buffer_init(&b, 4);
	json_write_text(&w, NULL, "ab");
	json_write_integer(&w, NULL, 12345);
	json_write_bool(&w, NULL, true);
	json_write_value(&w, NULL, json_true());
	assert_int_equal(w.error, -EFBIG);
	assert_string_equal(buffer_text(&b), "\"ab\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_and_items_are_parted_by_commas),
		cmocka_unit_test(each_character_survives),
		cmocka_unit_test(integers_reach_from_one_end_to_the_other),
		cmocka_unit_test(nothing_follows_what_did_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
