/* SPDX-License-Identifier: Apache-2.0 */
/* json_write.h - compact JSON appended to a buffer, without a tree of it: for what is written
 * often.
 *
 * A member or item at a time, each with the comma that it needs. The first failure (-ENOMEM,
 * -EFBIG) is kept in `error`, and nothing is written after it. */
#pragma once
#include "base/buffer.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct json_writer {
	struct buffer *to;
	bool more; /* a comma comes before the next one */
	int error;
};

/* `name`: NULL in a list. `bracket`: '{' or '['. */
void json_write_open(struct json_writer *w, const char *name, char bracket);
/* '}' or ']' */
void json_write_close(struct json_writer *w, char bracket);

/* Names and `text` are UTF-8; quotes, backslashes and control characters in `text` are escaped. */
void json_write_text(struct json_writer *w, const char *name, const char *text);
void json_write_integer(struct json_writer *w, const char *name, int64_t value);
void json_write_bool(struct json_writer *w, const char *name, bool value);
/* `value` is stolen; nothing is written for NULL. */
void json_write_value(struct json_writer *w, const char *name, json_t *value);
/* Members or items as they stand in a text, "" for none. */
void json_write_raw(struct json_writer *w, const char *members);
