/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_write.h"
#include <errno.h>
#include <string.h>

static void put(struct json_writer *w, const char *bytes, size_t n)
{
	if (w->error == 0)
		w->error = buffer_append(w->to, bytes, n);
}

static void begin(struct json_writer *w, const char *name)
{
	if (w->more)
		put(w, ",", 1);
	w->more = true;
	if (!name)
		return;
	put(w, "\"", 1);
	put(w, name, strlen(name));
	put(w, "\":", 2);
}

void json_write_open(struct json_writer *w, const char *name, char bracket)
{
	begin(w, name);
	put(w, &bracket, 1);
	w->more = false;
}

void json_write_close(struct json_writer *w, char bracket)
{
	put(w, &bracket, 1);
	w->more = true;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

static void put_escaped(struct json_writer *w, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	char text[6] = { '\\', (char)c };

	if (c >= 0x20) {
		put(w, text, 2);
		return;
	}
	memcpy(text, "\\u00", 4);
	text[4] = digits[c >> 4];
	text[5] = digits[c & 15];
	put(w, text, 6);
}

void json_write_text(struct json_writer *w, const char *name, const char *text)
{
	begin(w, name);
	put(w, "\"", 1);
	while (*text) {
		size_t n = 0;

		while (is_plain((unsigned char)text[n]))
			n++;
		put(w, text, n);
		text += n;
		if (*text)
			put_escaped(w, (unsigned char)*text++);
	}
	put(w, "\"", 1);
}

void json_write_integer(struct json_writer *w, const char *name, int64_t value)
{
	char digits[20], *at = digits + sizeof(digits);
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do
		*--at = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (value < 0)
		*--at = '-';
	begin(w, name);
	put(w, at, (size_t)(digits + sizeof(digits) - at));
}

void json_write_bool(struct json_writer *w, const char *name, bool value)
{
	begin(w, name);
	put(w, value ? "true" : "false", value ? 4 : 5);
}

void json_write_value(struct json_writer *w, const char *name, json_t *value)
{
	char *text;

	if (!value)
		return;
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(value);
	if (text) {
		begin(w, name);
		put(w, text, strlen(text));
	} else if (w->error == 0) {
		w->error = -ENOMEM;
	}
	free(text);
}

void json_write_raw(struct json_writer *w, const char *members)
{
	if (*members == '\0')
		return;
	begin(w, NULL);
	put(w, members, strlen(members));
}
