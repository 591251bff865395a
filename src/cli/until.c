/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/until.h"
#include "base/parse.h"
#include <string.h>

enum value_kind { VALUE_NONE, VALUE_TEXT, VALUE_NUMBER };

/* "port=3000" as {"port":3000}. NULL when it is no condition. */
static json_t *condition_of(const char *text)
{
	static const struct {
		const char *word, *field;
		enum value_kind value;
	} conditions[] = {
		{ "exit", "exit", VALUE_NONE },   { "tree", "tree", VALUE_NONE },
		{ "eof", "eof", VALUE_NONE },     { "input", "input", VALUE_NONE },
		{ "log", "match", VALUE_TEXT },   { "match", "match", VALUE_TEXT },
		{ "http", "http", VALUE_TEXT },   { "idle", "idle", VALUE_TEXT },
		{ "port", "port", VALUE_NUMBER },
	};
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : strlen(text);
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		if (strlen(conditions[i].word) != length ||
		    memcmp(conditions[i].word, text, length) != 0 ||
		    (conditions[i].value == VALUE_NONE) != !equals)
			continue;
		if (!equals)
			return json_pack("{s:b}", conditions[i].field, 1);
		if (conditions[i].value == VALUE_TEXT)
			return json_pack("{s:s}", conditions[i].field, equals + 1);
		if (parse_u64(equals + 1, 1, 65535, &number) == 0)
			return json_pack("{s:I}", conditions[i].field, (json_int_t)number);
	}
	return NULL;
}

int until_make(const struct words *words, const char *option, json_t **ret, struct error *e)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < words->n; i++) {
		json_t *condition = condition_of(words->items[i]);

		if (!condition) {
			json_decref(list);
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "--%s: \"%s\" is nothing to wait for", option,
					 words->items[i]);
		}
		json_array_append_new(list, condition);
	}
	*ret = list;
	return 0;
}

bool until_fired(const json_t *until, const json_t *answer)
{
	const char *fired = json_string_value(json_object_get(answer, "fired"));
	json_t *condition;
	size_t i;

	json_array_foreach(until, i,
			   condition) if (fired && json_object_get(condition, fired)) return true;
	return false;
}
