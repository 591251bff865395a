/* SPDX-License-Identifier: Apache-2.0 */
/* json_read.c - one reader for each type of field. */
#include "base/buffer.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>

static const char bytes_expected[] = "a string or {\"base64\":\"...\"}";

/* The field being read, and within it the item, for messages. */
struct place {
	const struct json_field *field;
	const char *key; /* of an object's item */
	size_t index;    /* of a list's item, from 1 on; 0 for none */
	struct error *e;
};

/* Fails with: field "env", "PATH": must be `what`. */
static int expected(const struct place *at, const char *what)
{
	if (at->key)
		return error_set(at->e, ERROR_INVALID_ARGUMENT, "field \"%s\", \"%s\": must be %s",
				 at->field->name, at->key, what);
	if (at->index > 0)
		return error_set(at->e, ERROR_INVALID_ARGUMENT,
				 "field \"%s\", item %zu: must be %s", at->field->name, at->index,
				 what);
	return error_set(at->e, ERROR_INVALID_ARGUMENT, "field \"%s\" must be %s", at->field->name,
			 what);
}

static int out_of_memory(const struct place *at)
{
	return error_set_errno(at->e, ERROR_INTERNAL, ENOMEM, "read field \"%s\"", at->field->name);
}

/* Checks a value, a length or a count against `min` and `max`. `unit` is "", " bytes", " items". */
static int check_range(const struct place *at, int64_t value, int64_t max_default, const char *unit)
{
	const struct json_field *f = at->field;
	int64_t min = f->min, max = f->max == 0 && min >= 0 ? max_default : f->max;

	if (value >= min && value <= max)
		return 0;
	return error_set(at->e, ERROR_INVALID_ARGUMENT, "field \"%s\" must be from %lld to %lld%s",
			 f->name, (long long)min, (long long)max, unit);
}

/* A byte string without NUL. */
static int get_bytes(const struct place *at, const json_t *value, char **ret, size_t *ret_size)
{
	_cleanup_(freep) char *bytes = NULL;
	size_t size;
	int r = json_bytes_decode(value, &bytes, &size);

	if (r == -ENOMEM)
		return out_of_memory(at);
	if (r < 0)
		return expected(at, bytes_expected);
	if (memchr(bytes, '\0', size))
		return expected(at, "without NUL characters");
	*ret_size = size;
	*ret = take(bytes);
	return 0;
}

static int read_bytes(const struct place *at, const json_t *value, void *member)
{
	_cleanup_(freep) char *bytes = NULL;
	char **text = member;
	size_t size;
	int r = get_bytes(at, value, &bytes, &size);

	if (r < 0)
		return r;
	r = check_range(at, (int64_t)size, JSON_TEXT_MAX, " bytes long");
	if (r < 0)
		return r;
	free(*text);
	*text = take(bytes);
	return 0;
}

static int read_string(const struct place *at, const json_t *value, void *member)
{
	if (!json_is_string(value))
		return expected(at, "a string");
	return read_bytes(at, value, member);
}

/* Counts the bytes of one more item of a list or map, with its NUL. */
static int count_bytes(const struct place *at, size_t *total, size_t size)
{
	size_t max = at->field->max_bytes ? at->field->max_bytes : (size_t)JSON_LIST_BYTES_MAX;

	*total += size + 1;
	if (*total <= max)
		return 0;
	return error_set(at->e, ERROR_TOO_LARGE, "field \"%s\" must take at most %zu bytes in all",
			 at->field->name, max);
}

static int read_list(const struct place *at, const json_t *value, void *member)
{
	_cleanup_(text_list_freep) char **items = NULL;
	struct json_list *list = member;
	size_t n = json_array_size(value), total = 0;
	int r;

	if (!json_is_array(value))
		return expected(at, "a list of strings");
	r = check_range(at, (int64_t)n, JSON_LIST_MAX, " items long");
	if (r < 0)
		return r;
	items = calloc(n + 1, sizeof(*items));
	if (!items)
		return out_of_memory(at);
	for (size_t i = 0; i < n; i++) {
		struct place item = { .field = at->field, .index = i + 1, .e = at->e };
		size_t size;

		r = get_bytes(&item, json_array_get(value, i), &items[i], &size);
		if (r == 0)
			r = count_bytes(at, &total, size);
		if (r < 0)
			return r;
	}
	text_list_free(list->items);
	list->items = take(items);
	list->n = n;
	return 0;
}

/* One string is as good as a list of it. */
static int read_words(const struct place *at, const json_t *value, void *member)
{
	json_t *list;
	int r;

	if (json_is_string(value)) {
		list = json_pack("[O]", value);
		r = list ? read_list(at, list, member) : out_of_memory(at);
		json_decref(list);
		return r;
	}
	for (size_t i = 0; i < json_array_size(value); i++) {
		struct place item = { .field = at->field, .index = i + 1, .e = at->e };

		if (!json_is_string(json_array_get(value, i)))
			return expected(&item, "a string");
	}
	return json_is_array(value) ? read_list(at, value, member)
				    : expected(at, "a string or a list of strings");
}

static void free_list(void *member)
{
	struct json_list *list = member;

	list->items = text_list_free(list->items);
	list->n = 0;
}

static void free_map(void *member)
{
	struct json_map *map = member;

	for (size_t i = 0; i < map->n; i++) {
		free(map->items[i].name);
		free(map->items[i].value);
	}
	free(map->items);
	*map = (struct json_map){ 0 };
}

static void map_done(struct json_map *map)
{
	free_map(map);
}

static int read_map(const struct place *at, const json_t *value, void *member)
{
	_cleanup_(map_done) struct json_map map = { 0 };
	struct json_map *target = member;
	size_t n = json_object_size(value), total = 0;
	const char *key;
	json_t *item;
	int r;

	if (!json_is_object(value))
		return expected(at, "an object of strings");
	r = check_range(at, (int64_t)n, JSON_LIST_MAX, " items long");
	if (r < 0)
		return r;
	map.items = calloc(n + 1, sizeof(*map.items));
	if (!map.items)
		return out_of_memory(at);
	json_object_foreach((json_t *)value, key, item)
	{
		struct place here = { .field = at->field, .key = key, .e = at->e };
		struct json_pair *pair = &map.items[map.n++];
		size_t size;

		pair->name = strdup(key);
		if (!pair->name)
			return out_of_memory(at);
		r = get_bytes(&here, item, &pair->value, &size);
		if (r == 0)
			r = count_bytes(at, &total, strlen(key) + 1 + size);
		if (r < 0)
			return r;
	}
	free_map(target);
	*target = map;
	map = (struct json_map){ 0 };
	return 0;
}

static int read_bool(const struct place *at, const json_t *value, void *member)
{
	if (!json_is_boolean(value))
		return expected(at, "true or false");
	*(bool *)member = json_is_true(value);
	return 0;
}

static int read_u64(const struct place *at, const json_t *value, void *member)
{
	int r;

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return expected(at, "an integer that is not negative");
	r = check_range(at, json_integer_value(value), INT64_MAX, "");
	if (r < 0)
		return r;
	*(uint64_t *)member = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_i64(const struct place *at, const json_t *value, void *member)
{
	int64_t number = json_integer_value(value);
	bool limited = at->field->min != 0 || at->field->max != 0;
	int r;

	if (!json_is_integer(value))
		return expected(at, "an integer");
	r = limited ? check_range(at, number, INT64_MAX, "") : 0;
	if (r < 0)
		return r;
	*(int64_t *)member = number;
	return 0;
}

/* The limits of a duration are told as durations. */
static int read_duration(const struct place *at, const json_t *value, void *member)
{
	const struct json_field *f = at->field;
	uint64_t ms, max = f->max > 0 ? (uint64_t)f->max : DURATION_MAX_MS;
	char low[DURATION_TEXT_MAX], high[DURATION_TEXT_MAX];
	int r;

	if (!json_is_string(value))
		return expected(at, "a duration such as \"5s\"");
	r = parse_duration_ms(json_string_value(value), &ms);
	if (r == -EINVAL || strlen(json_string_value(value)) != json_string_length(value))
		return expected(at, "a duration such as \"5s\", \"250ms\" or \"1h30m\"");
	if (r == 0 && ms >= (uint64_t)f->min && ms <= max) {
		*(uint64_t *)member = ms;
		return 0;
	}
	return error_set(at->e, ERROR_INVALID_ARGUMENT, "field \"%s\" must be from %s to %s",
			 f->name, format_duration((uint64_t)f->min, low),
			 format_duration(max, high));
}

static int read_enum(const struct place *at, const json_t *value, void *member)
{
	_cleanup_(buffer_done) struct buffer all;

	buffer_init(&all, ERROR_MESSAGE_MAX);
	for (const struct json_name *n = at->field->names; json_is_string(value) && n->name; n++)
		if (strlen(n->name) == json_string_length(value) &&
		    !strcmp(n->name, json_string_value(value))) {
			memcpy(member, &n->value, sizeof(n->value));
			return 0;
		}
	for (const struct json_name *n = at->field->names; n->name; n++)
		buffer_printf(&all, "%s\"%s\"", n == at->field->names ? "one of " : ", ", n->name);
	if (json_is_string(value))
		buffer_printf(&all, ", not \"%.64s\"", json_string_value(value));
	return expected(at, buffer_text(&all));
}

static int read_json(const struct place *at, const json_t *value, void *member)
{
	(void)at;
	*(const json_t **)member = value;
	return 0;
}

static void free_text(void *member)
{
	free(*(char **)member);
	*(char **)member = NULL;
}

static const struct {
	int (*read)(const struct place *at, const json_t *value, void *member);
	void (*free)(void *member); /* NULL where nothing is owned */
} types[] = {
	[FIELD_STRING] = { read_string, free_text },
	[FIELD_BYTES] = { read_bytes, free_text },
	[FIELD_LIST] = { read_list, free_list },
	[FIELD_WORDS] = { read_words, free_list },
	[FIELD_MAP] = { read_map, free_map },
	[FIELD_BOOL] = { read_bool, NULL },
	[FIELD_U64] = { read_u64, NULL },
	[FIELD_I64] = { read_i64, NULL },
	[FIELD_DURATION] = { read_duration, NULL },
	[FIELD_ENUM] = { read_enum, NULL },
	[FIELD_JSON] = { read_json, NULL },
};

static bool is_known(const struct json_field *fields, const char *name)
{
	for (; fields->name; fields++)
		if (!strcmp(fields->name, name))
			return true;
	return false;
}

static int read_field(const json_t *object, const struct json_field *f, void *ret, struct error *e)
{
	const struct place at = { .field = f, .e = e };
	const json_t *value = json_object_get(object, f->name);
	int r;

	if (!value || (json_is_null(value) && f->type != FIELD_JSON)) {
		if (f->required)
			return error_set(e, ERROR_INVALID_ARGUMENT, "field \"%s\" is missing",
					 f->name);
		return 0;
	}
	r = types[f->type].read(&at, value, (char *)ret + f->offset);
	if (r == 0 && f->seen)
		*(bool *)((char *)ret + f->seen) = true;
	return r;
}

int json_read(const json_t *object, const struct json_field *fields, void *ret, struct error *e)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return error_set(e, ERROR_INVALID_ARGUMENT, "a JSON object was expected");
	json_object_foreach((json_t *)object, key, value)
	{
		if (!is_known(fields, key))
			return error_set(e, ERROR_INVALID_ARGUMENT, "unknown field \"%s\"", key);
	}
	for (const struct json_field *f = fields; f->name; f++) {
		int r = read_field(object, f, ret, e);

		if (r < 0)
			return r;
	}
	return 0;
}

void json_read_done(const struct json_field *fields, void *ret)
{
	for (const struct json_field *f = fields; f->name; f++)
		if (types[f->type].free)
			types[f->type].free((char *)ret + f->offset);
}
