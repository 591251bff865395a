/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One, two, three and four bytes long: a, e acute, the euro sign, a crab. */
#define MIXED "a\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x80"

static void whole_characters_are_utf8(void **state)
{
	static const char *const good[] = {
		"",
		"plain",
		MIXED,
		"\xc2\x80", /* the smallest of each length, and the largest */
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"\xed\x9f\xbf", /* on both sides of the surrogates */
		"\xee\x80\x80",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(text_is_utf8(good[i], strlen(good[i])));
	assert_true(text_is_utf8("a\0b", 3));
}

static void what_rfc_3629_forbids_is_not_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80",     /* a continuation alone */
		"\xc0\x80", /* overlong */
		"\xc1\xbf",
		"\xe0\x9f\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xed\xa0\x80",     /* a surrogate */
		"\xf4\x90\x80\x80", /* above U+10FFFF */
		"\xf5\x80\x80\x80",
		"\xff",
		"\xc3x",
		"\xe2\x82x",
		"\xf0\x9f\xa6x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[8] = "ok";

		strcat(text, bad[i]);
		assert_int_equal(text_utf8_prefix(text, strlen(text)), 2);
	}
}

static void a_cut_never_splits_a_character(void **state)
{
	static const size_t whole[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10 };

	(void)state;
	for (size_t n = 0; n <= strlen(MIXED); n++) {
		assert_int_equal(text_utf8_prefix(MIXED, n), whole[n]);
		assert_int_equal(text_utf8_incomplete(MIXED, n), n - whole[n]);
	}
}

static void what_can_never_become_a_character_is_not_waited_for(void **state)
{
	(void)state;
	assert_int_equal(text_utf8_incomplete("\x80\x80\x80\x80", 4), 0);
	assert_int_equal(text_utf8_incomplete("ab\xff", 3), 0);
	assert_int_equal(text_utf8_incomplete("\xed\xa0", 2), 0);
	assert_int_equal(text_utf8_incomplete("\xc3\xa9\x80", 3), 0);
	assert_int_equal(text_utf8_incomplete("\xff\xf0\x9f\xa6", 4), 3);
}

static void the_rest_of_a_character_is_skipped_at_the_front(void **state)
{
	(void)state;
	assert_int_equal(text_utf8_skip("\x9f\xa6\x80z", 4), 3);
	assert_int_equal(text_utf8_skip("\x80", 1), 1);
	assert_int_equal(text_utf8_skip("abc", 3), 0);
	assert_int_equal(text_utf8_skip("\x80\x80\x80\x80\x80", 5), 3);
	assert_int_equal(text_utf8_skip(NULL, 0), 0);
}

static void base64_follows_the_vectors_of_rfc_4648(void **state)
{
	static const char *const vectors[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		_cleanup_(freep) char *encoded = NULL, *decoded = NULL;
		size_t size;

		assert_int_equal(text_base64(vectors[i][0], strlen(vectors[i][0]), &encoded), 0);
		assert_string_equal(encoded, vectors[i][1]);
		assert_int_equal(text_base64_decode(encoded, strlen(encoded), &decoded, &size), 0);
		assert_int_equal(size, strlen(vectors[i][0]));
		assert_string_equal(decoded, vectors[i][0]);
	}
}

static void base64_takes_no_second_spelling(void **state)
{
	static const char *const bad[] = { "Zg",     "Zg=",   "Zh==",   "Zm9=", "Zg==Zg==",
					   "Zm 9v",  "Z===",  "====",   "=m9v", "Zm9-",
					   "Zm9v\n", "Zm9v=", "Z\xc3==" };
	char *decoded = NULL;
	size_t size = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (text_base64_decode(bad[i], strlen(bad[i]), &decoded, &size) != -EINVAL)
			fail_msg("\"%s\" was decoded", bad[i]);
	assert_null(decoded);
	assert_int_equal(size, 7);
}

static void hex_is_lower_case_and_reads_any_case(void **state)
{
	unsigned char bytes[4] = { 0x00, 0x7f, 0xab, 0xff }, back[4] = { 0 };
	char text[9];

	(void)state;
	assert_string_equal(text_hex(bytes, 4, text), "007fabff");
	assert_int_equal(text_hex_decode("007FabFF", back, 4), 0);
	assert_memory_equal(bytes, back, 4);
	assert_int_equal(text_hex_decode("11223", back, 4), -EINVAL);
	assert_int_equal(text_hex_decode("1122334455", back, 4), -EINVAL);
	assert_int_equal(text_hex_decode("1122334g", back, 4), -EINVAL);
	assert_int_equal(text_hex_decode("0x112233", back, 4), -EINVAL);
	assert_memory_equal(bytes, back, 4);
}

static void escapes_leave_one_line_of_printable_text(void **state)
{
	static const struct {
		const char *text, *escaped;
	} samples[] = {
		{ "plain " MIXED, "plain " MIXED },
		{ "a\"b\\c", "a\\\"b\\\\c" },
		{ "\n\t\r", "\\n\\t\\r" },
		{ "\x1b[31m\x7f\x01", "\\x1b[31m\\x7f\\x01" },
		{ "\xc2\x9b"
		  "1m\xc2\xa0",
		  "\\xc2\\x9b1m\xc2\xa0" },
		{ "\xff\xc3", "\\xff\\xc3" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		_cleanup_(buffer_done) struct buffer b;

		buffer_init(&b, 100);
		assert_int_equal(text_escape(&b, samples[i].text, strlen(samples[i].text)), 0);
		assert_string_equal(buffer_text(&b), samples[i].escaped);
	}
}

static void a_nul_is_escaped_and_a_full_buffer_is_told(void **state)
{
	_cleanup_(buffer_done) struct buffer b;

	(void)state;
	buffer_init(&b, 10);
	assert_int_equal(text_escape(&b, "a\0b", 3), 0);
	assert_string_equal(buffer_text(&b), "a\\x00b");
	assert_int_equal(text_escape(&b, "\x01\x02", 2), -EFBIG);
}

static void the_hash_follows_the_published_vectors_of_fnv_1a(void **state)
{
	uint64_t hash[2];

	(void)state;
	text_hash128("", 0, hash);
	assert_true(hash[0] == 0x6c62272e07bb0142 && hash[1] == 0x62b821756295c58d);
	text_hash128("a", 1, hash);
	assert_true(hash[0] == 0xd228cb696f1a8caf && hash[1] == 0x78912b704e4a8964);
	text_hash128("foobar", 6, hash);
	assert_true(hash[0] == 0x343e1662793c64bf && hash[1] == 0x6f0d3597ba446f18);
}

static void a_list_is_copied_with_its_end(void **state)
{
	char *list[] = { "a", "", "c" };
	char **copy = NULL;

	(void)state;
	assert_int_equal(text_list_copy(list, 2, &copy), 0);
	assert_string_equal(copy[0], "a");
	assert_string_equal(copy[1], "");
	assert_null(copy[2]);
	assert_null(text_list_free(copy));
	assert_null(text_list_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_characters_are_utf8),
		cmocka_unit_test(what_rfc_3629_forbids_is_not_utf8),
		cmocka_unit_test(a_cut_never_splits_a_character),
		cmocka_unit_test(what_can_never_become_a_character_is_not_waited_for),
		cmocka_unit_test(the_rest_of_a_character_is_skipped_at_the_front),
		cmocka_unit_test(base64_follows_the_vectors_of_rfc_4648),
		cmocka_unit_test(base64_takes_no_second_spelling),
		cmocka_unit_test(hex_is_lower_case_and_reads_any_case),
		cmocka_unit_test(escapes_leave_one_line_of_printable_text),
		cmocka_unit_test(a_nul_is_escaped_and_a_full_buffer_is_told),
		cmocka_unit_test(the_hash_follows_the_published_vectors_of_fnv_1a),
		cmocka_unit_test(a_list_is_copied_with_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
