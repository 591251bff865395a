/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - strict JSON: loading with a limit on depth, and request bodies read by a table. */
#pragma once
#include "base/error.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX      32U
#define JSON_TEXT_MAX       65536U    /* bytes of one string, unless its field says otherwise */
#define JSON_LIST_MAX       65536U    /* items of a list or an object */
#define JSON_LIST_BYTES_MAX (4 * MiB) /* bytes of all its items, NULs included */

/* Loads one object or array, and nothing behind it. Duplicate keys, bytes that are not UTF-8 and a
 * depth over JSON_DEPTH_MAX (checked before anything is parsed) are refused with line and column.
 * `*ret` is a new reference. */
int json_load_strict(const char *text, size_t size, json_t **ret, struct error *e);

/* A JSON string when the bytes are UTF-8, else {"base64":"..."}. A new reference, NULL without
 * memory. */
json_t *json_bytes(const void *p, size_t n);

/* The inverse; `*ret` has a NUL behind its bytes and is the caller's. -EINVAL for anything else. */
int json_bytes_decode(const json_t *value, char **ret, size_t *ret_size);

/* --- request bodies -------------------------------------------------------------------------- */

/* Beside each type: what the member at `offset` must be, and what `min` and `max` mean. */
enum field_type {
	FIELD_STRING,   /* char *, owned: text without NUL; length in bytes */
	FIELD_BYTES,    /* char *, owned: string or {"base64":"..."}, no NUL; length in bytes */
	FIELD_LIST,     /* struct json_list: array of FIELD_BYTES; number of items */
	FIELD_WORDS,    /* struct json_list: a FIELD_STRING, or an array of such; number of items */
	FIELD_MAP,      /* struct json_map: object of FIELD_BYTES; number of items */
	FIELD_BOOL,     /* bool */
	FIELD_U64,      /* uint64_t: an integer from 0 on; its value */
	FIELD_I64,      /* int64_t: an integer; its value */
	FIELD_DURATION, /* uint64_t: "5s" as ms; its value in ms */
	FIELD_ENUM,     /* an enum or int: one of `names` */
	FIELD_JSON,     /* json_t *, borrowed: any value, null too */
};

struct json_name {
	const char *name;
	int value;
};

struct json_list {
	char **items; /* NULL-terminated once read; argv-shaped */
	size_t n;
};

struct json_pair {
	char *name, *value;
};

struct json_map {
	struct json_pair *items;
	size_t n;
};

/* One row; a table ends with a NULL name. Without `max` the limits above hold, or none; an I64 has
 * its limits when one of them is not 0.
 *
 *	{ "rows", FIELD_U64, offsetof(struct body, rows), .min = 1, .max = 1000 },
 */
struct json_field {
	const char *name;
	enum field_type type;
	size_t offset;
	bool required;
	size_t seen; /* offset of a bool set to true when the field is there; 0 for none */
	int64_t min, max;
	size_t max_bytes;              /* of all items of a list or map; 0: JSON_LIST_BYTES_MAX */
	const struct json_name *names; /* ends with a NULL name */
};

/* Reads `object` into the structure at `ret`, which holds the defaults (its pointers NULL). A field
 * that is absent or null leaves its member alone. Unknown fields, wrong types and values out of
 * range are ERROR_INVALID_ARGUMENT and name the field and what was expected. Call
 * json_read_done afterwards, whether it succeeded or not. */
int json_read(const json_t *object, const struct json_field *fields, void *ret, struct error *e);

/* Frees what json_read put into owned members and sets them to NULL. */
void json_read_done(const struct json_field *fields, void *ret);

/* The name of a value, NULL when it is not in the table. */
const char *json_name_of(const struct json_name *names, int value);
