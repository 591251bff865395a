/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void jsonp(json_t **value)
{
	json_decref(*value);
}

static void strict_loading_tells_line_and_column(void **state)
{
	static const struct {
		const char *text, *message;
	} samples[] = {
		{ "{\"a\":1,\n\"a\":2}", "invalid JSON, line 2, column 3: duplicate object key" },
		{ "{\"a\":1} x", "invalid JSON, line 1, column 9: end of file expected" },
		{ "{\"a\":\"\xff\"}", "unable to decode byte 0xff" },
		{ "{\"a\":tru}", "line 1, column 8" },
		{ "", "invalid JSON, line 1, column 0" },
		{ "5", "'[' or '{' expected" },
		{ "{\"a\":99999999999999999999}", "too big integer" },
	};
	json_t *value = NULL;
	struct error e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const char *text = samples[i].text;

		assert_int_equal(json_load_strict(text, strlen(text), &value, &e), -EINVAL);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		if (!strstr(e.message, samples[i].message))
			fail_msg("%s: %s", text, e.message);
	}
	assert_null(value);
}

static void nesting_ends_at_the_limit_before_anything_is_parsed(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 3];
	json_t *value = NULL;
	struct error e;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_int_equal(json_load_strict(text, (size_t)2 * JSON_DEPTH_MAX, &value, &e), 0);
	json_decref(value);

	memset(text, '[', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_load_strict(text, JSON_DEPTH_MAX + 1, &value, &e), -EINVAL);
	assert_string_equal(e.message, "invalid JSON, line 1, column 33: nested more than 32 deep");
}

static void brackets_in_strings_do_not_nest(void **state)
{
	static const char text[] = "[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\",\"\\\\\",[]]";
	_cleanup_(jsonp) json_t *value = NULL;
	struct error e;

	(void)state;
	assert_int_equal(json_load_strict(text, strlen(text), &value, &e), 0);
	assert_int_equal(json_array_size(value), 3);
}

static void any_bytes_survive_as_a_string_or_as_base64(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *json;
	} samples[] = {
		{ "caf\xc3\xa9", 5, "\"caf\xc3\xa9\"" },
		{ "", 0, "\"\"" },
		{ "a\0b", 3, "\"a\\u0000b\"" },
		{ "\xff\xfe", 2, "{\"base64\":\"//4=\"}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		_cleanup_(jsonp) json_t *value = json_bytes(samples[i].bytes, samples[i].n);
		_cleanup_(freep) char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		_cleanup_(freep) char *back = NULL;
		size_t n;

		assert_string_equal(text, samples[i].json);
		assert_int_equal(json_bytes_decode(value, &back, &n), 0);
		assert_int_equal(n, samples[i].n);
		assert_memory_equal(back, samples[i].bytes, n + 1);
	}
}

enum colour {
	COLOUR_RED = 3,
	COLOUR_BLUE,
};

static const struct json_name colours[] = {
	{ "red", COLOUR_RED },
	{ "blue", COLOUR_BLUE },
	{ NULL, 0 },
};

struct body {
	char *name, *cwd;
	struct json_list command, words;
	struct json_map env;
	bool merge, has_rows;
	uint64_t rows, grace;
	int64_t code;
	enum colour colour;
	json_t *stop;
};

#define AT(member) .offset = offsetof(struct body, member)

static const struct json_field fields[] = {
	{ "name", FIELD_STRING, AT(name), .min = 1, .max = 8 },
	{ "cwd", FIELD_BYTES, AT(cwd) },
	{ "command", FIELD_LIST, AT(command), .min = 1, .max = 4, .max_bytes = 20 },
	{ "words", FIELD_WORDS, AT(words), .min = 1, .max = 2 },
	{ "env", FIELD_MAP, AT(env), .max = 2, .max_bytes = 24 },
	{ "merge", FIELD_BOOL, AT(merge) },
	{ "rows", FIELD_U64, AT(rows), .seen = offsetof(struct body, has_rows), .min = 1,
	  .max = 1000 },
	{ "grace", FIELD_DURATION, AT(grace), .max = 60000 },
	{ "code", FIELD_I64, AT(code), .min = -64, .max = 255 },
	{ "colour", FIELD_ENUM, AT(colour), .names = colours },
	{ "stop", FIELD_JSON, AT(stop) },
	{ .name = NULL },
};

/* Reads `text` into `body`; what it holds belongs to the caller. */
static int read_text(const char *text, struct body *body, json_t **ret, struct error *e)
{
	assert_int_equal(json_load_strict(text, strlen(text), ret, e), 0);
	return json_read(*ret, fields, body, e);
}

static void a_body_is_read_by_its_table(void **state)
{
	static const char text[] =
		"{\"name\":\"web\",\"cwd\":{\"base64\":\"L/8=\"},"
		"\"command\":[\"echo\",{\"base64\":\"/w==\"},\"\"],"
		"\"env\":{\"A\":\"1\",\"B\":{\"base64\":\"/w==\"}},\"merge\":true,\"rows\":24,"
		"\"grace\":\"1.5s\",\"code\":-9,\"colour\":\"blue\",\"stop\":null}";
	_cleanup_(jsonp) json_t *object = NULL;
	struct body body = { 0 };
	struct error e;

	(void)state;
	assert_int_equal(read_text(text, &body, &object, &e), 0);
	assert_string_equal(body.name, "web");
	assert_string_equal(body.cwd, "/\xff");
	assert_int_equal(body.command.n, 3);
	assert_string_equal(body.command.items[0], "echo");
	assert_string_equal(body.command.items[1], "\xff");
	assert_string_equal(body.command.items[2], "");
	assert_null(body.command.items[3]);
	assert_int_equal(body.env.n, 2);
	assert_string_equal(body.env.items[0].name, "A");
	assert_string_equal(body.env.items[0].value, "1");
	assert_string_equal(body.env.items[1].value, "\xff");
	assert_true(body.merge);
	assert_true(body.has_rows);
	assert_int_equal(body.rows, 24);
	assert_int_equal(body.grace, 1500);
	assert_int_equal(body.code, -9);
	assert_int_equal(body.colour, COLOUR_BLUE);
	assert_true(json_is_null(body.stop));
	json_read_done(fields, &body);
	assert_null(body.name);
	assert_null(body.command.items);
	assert_null(body.env.items);
}

static void one_word_is_as_good_as_a_list_of_it(void **state)
{
	static const char *const texts[] = { "{\"words\":\"a\"}", "{\"words\":[\"a\",\"b\"]}" };

	(void)state;
	for (size_t n = 1; n <= ARRAY_SIZE(texts); n++) {
		_cleanup_(jsonp) json_t *object = NULL;
		struct body body = { 0 };
		struct error e;

		assert_int_equal(read_text(texts[n - 1], &body, &object, &e), 0);
		assert_int_equal(body.words.n, n);
		assert_string_equal(body.words.items[0], "a");
		assert_null(body.words.items[n]);
		json_read_done(fields, &body);
		assert_null(body.words.items);
	}
}

static void absent_and_null_fields_keep_their_defaults(void **state)
{
	_cleanup_(jsonp) json_t *object = NULL;
	struct body body = { .rows = 80, .colour = COLOUR_RED, .merge = true };
	struct error e;

	(void)state;
	assert_int_equal(read_text("{\"rows\":null,\"name\":null}", &body, &object, &e), 0);
	assert_int_equal(body.rows, 80);
	assert_false(body.has_rows);
	assert_null(body.name);
	assert_true(body.merge);
	assert_null(body.stop);
	json_read_done(fields, &body);
}

static const struct {
	const char *text, *message;
} errors[] = {
	{ "{\"foo\":1}", "unknown field \"foo\"" },
	{ "[]", "a JSON object was expected" },
	{ "{\"name\":5}", "field \"name\" must be a string" },
	{ "{\"name\":{\"base64\":\"eA==\"}}", "field \"name\" must be a string" },
	{ "{\"name\":\"\"}", "field \"name\" must be from 1 to 8 bytes long" },
	{ "{\"name\":\"123456789\"}", "field \"name\" must be from 1 to 8 bytes long" },
	{ "{\"name\":\"a\\u0000b\"}", "field \"name\" must be without NUL characters" },
	{ "{\"cwd\":[]}", "field \"cwd\" must be a string or {\"base64\":\"...\"}" },
	{ "{\"cwd\":{\"base64\":\"x\"}}",
	  "field \"cwd\" must be a string or {\"base64\":\"...\"}" },
	{ "{\"cwd\":{\"base64\":\"eA==\",\"x\":1}}",
	  "field \"cwd\" must be a string or {\"base64\":\"...\"}" },
	{ "{\"cwd\":{\"base64\":\"AA==\"}}", "field \"cwd\" must be without NUL characters" },
	{ "{\"command\":\"ls\"}", "field \"command\" must be a list of strings" },
	{ "{\"command\":[]}", "field \"command\" must be from 1 to 4 items long" },
	{ "{\"command\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
	  "field \"command\" must be from 1 to 4 items long" },
	{ "{\"command\":[\"a\",7]}",
	  "field \"command\", item 2: must be a string or {\"base64\":\"...\"}" },
	{ "{\"words\":5}", "field \"words\" must be a string or a list of strings" },
	{ "{\"words\":{\"base64\":\"eA==\"}}",
	  "field \"words\" must be a string or a list of strings" },
	{ "{\"words\":[\"a\",{\"base64\":\"eA==\"}]}",
	  "field \"words\", item 2: must be a string" },
	{ "{\"words\":[]}", "field \"words\" must be from 1 to 2 items long" },
	{ "{\"words\":\"a\\u0000b\"}", "must be without NUL characters" },
	{ "{\"env\":[]}", "field \"env\" must be an object of strings" },
	{ "{\"env\":{\"A\":\"1\",\"B\":2}}",
	  "field \"env\", \"B\": must be a string or {\"base64\":\"...\"}" },
	{ "{\"env\":{\"A\":\"1\",\"B\":\"2\",\"C\":\"3\"}}",
	  "field \"env\" must be from 0 to 2 items long" },
	{ "{\"merge\":1}", "field \"merge\" must be true or false" },
	{ "{\"rows\":\"24\"}", "field \"rows\" must be an integer that is not negative" },
	{ "{\"rows\":2.5}", "field \"rows\" must be an integer that is not negative" },
	{ "{\"rows\":-1}", "field \"rows\" must be an integer that is not negative" },
	{ "{\"rows\":0}", "field \"rows\" must be from 1 to 1000" },
	{ "{\"rows\":1001}", "field \"rows\" must be from 1 to 1000" },
	{ "{\"grace\":5}", "field \"grace\" must be a duration such as \"5s\"" },
	{ "{\"grace\":\"5\"}", "field \"grace\" must be a duration such as" },
	{ "{\"grace\":\"5s\\u0000\"}", "field \"grace\" must be a duration such as" },
	{ "{\"grace\":\"61s\"}", "field \"grace\" must be from 0s to 1m" },
	{ "{\"grace\":\"99999d\"}", "field \"grace\" must be from 0s to 1m" },
	{ "{\"code\":-65}", "field \"code\" must be from -64 to 255" },
	{ "{\"code\":true}", "field \"code\" must be an integer" },
	{ "{\"colour\":\"green\"}", "field \"colour\" must be one of \"red\", \"blue\"" },
	{ "{\"colour\":3}", "field \"colour\" must be one of \"red\", \"blue\"" },
};

static void an_error_names_the_field_and_what_was_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		_cleanup_(jsonp) json_t *object = NULL;
		struct body body = { 0 };
		struct error e;

		if (read_text(errors[i].text, &body, &object, &e) != -EINVAL ||
		    !strstr(e.message, errors[i].message))
			fail_msg("%s: %s", errors[i].text, e.message);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		json_read_done(fields, &body);
	}
}

static void all_items_together_have_a_limit_too(void **state)
{
	static const struct {
		const char *text;
		int r;
	} samples[] = {
		{ "{\"command\":[\"123456789\",\"123456789\"]}", 0 },
		{ "{\"command\":[\"123456789\",\"1234567890\"]}", -EFBIG },
		{ "{\"env\":{\"PATH\":\"1234567\",\"NAME\":\"123456\"}}", -EFBIG },
		{ "{\"env\":{\"PATH\":\"123456\",\"NAME\":\"123456\"}}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		_cleanup_(jsonp) json_t *object = NULL;
		struct body body = { 0 };
		struct error e;

		assert_int_equal(read_text(samples[i].text, &body, &object, &e), samples[i].r);
		if (samples[i].r < 0)
			assert_int_equal(e.code, ERROR_TOO_LARGE);
		json_read_done(fields, &body);
	}
}

static void a_required_field_is_missed_by_name(void **state)
{
	static const struct json_field required[] = {
		{ "id", FIELD_U64, .offset = 0, .required = true },
		{ .name = NULL },
	};
	_cleanup_(jsonp) json_t *object = json_object();
	uint64_t id = 7;
	struct error e;

	(void)state;
	assert_int_equal(json_read(object, required, &id, &e), -EINVAL);
	assert_string_equal(e.message, "field \"id\" is missing");
	json_object_set_new(object, "id", json_null());
	assert_int_equal(json_read(object, required, &id, &e), -EINVAL);
	assert_int_equal(id, 7);
	json_object_set_new(object, "id", json_integer(INT64_MAX));
	assert_int_equal(json_read(object, required, &id, &e), 0);
	assert_int_equal(id, INT64_MAX);
}

static void a_value_has_the_name_of_its_table(void **state)
{
	(void)state;
	assert_string_equal(json_name_of(colours, COLOUR_BLUE), "blue");
	assert_null(json_name_of(colours, 77));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_loading_tells_line_and_column),
		cmocka_unit_test(nesting_ends_at_the_limit_before_anything_is_parsed),
		cmocka_unit_test(brackets_in_strings_do_not_nest),
		cmocka_unit_test(any_bytes_survive_as_a_string_or_as_base64),
		cmocka_unit_test(a_body_is_read_by_its_table),
		cmocka_unit_test(one_word_is_as_good_as_a_list_of_it),
		cmocka_unit_test(absent_and_null_fields_keep_their_defaults),
		cmocka_unit_test(an_error_names_the_field_and_what_was_expected),
		cmocka_unit_test(all_items_together_have_a_limit_too),
		cmocka_unit_test(a_required_field_is_missed_by_name),
		cmocka_unit_test(a_value_has_the_name_of_its_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
