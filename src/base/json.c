/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>

static int check_depth(const char *text, size_t size, struct error *e)
{
	unsigned depth = 0, line = 1, column = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		column++;
		if (c == '\n') {
			line++;
			column = 0;
		} else if (in_string) {
			if (c == '\\')
				i++, column++;
			in_string = c != '"';
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_DEPTH_MAX)
				return error_set(e, ERROR_INVALID_ARGUMENT,
						 "invalid JSON, line %u, column %u: nested more "
						 "than %u deep",
						 line, column, JSON_DEPTH_MAX);
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return 0;
}

int json_load_strict(const char *text, size_t size, json_t **ret, struct error *e)
{
	json_error_t reason;
	json_t *value;
	int r = check_depth(text, size, e);

	if (r < 0)
		return r;
	value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &reason);
	if (!value && json_error_code(&reason) == json_error_out_of_memory)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "read JSON");
	if (!value)
		return error_set(e, ERROR_INVALID_ARGUMENT, "invalid JSON, line %d, column %d: %s",
				 reason.line, reason.column, reason.text);
	*ret = value;
	return 0;
}

json_t *json_bytes(const void *p, size_t n)
{
	_cleanup_(freep) char *encoded = NULL;

	if (text_is_utf8(p, n))
		return json_stringn(n > 0 ? p : "", n);
	if (text_base64(p, n, &encoded) < 0)
		return NULL;
	return json_pack("{s:s}", "base64", encoded);
}

int json_bytes_decode(const json_t *value, char **ret, size_t *ret_size)
{
	const json_t *encoded;
	char *copy;
	size_t n;

	if (json_is_object(value)) {
		encoded = json_object_get(value, "base64");
		if (json_object_size(value) != 1 || !json_is_string(encoded))
			return -EINVAL;
		return text_base64_decode(json_string_value(encoded), json_string_length(encoded),
					  ret, ret_size);
	}
	if (!json_is_string(value))
		return -EINVAL;
	n = json_string_length(value);
	copy = malloc(n + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, json_string_value(value), n + 1);
	*ret_size = n;
	*ret = copy;
	return 0;
}

const char *json_name_of(const struct json_name *names, int value)
{
	for (; names->name; names++)
		if (names->value == value)
			return names->name;
	return NULL;
}
