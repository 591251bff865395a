/* SPDX-License-Identifier: Apache-2.0 */
#include "client/scan.h"
#include "base/text.h"
#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
		at++;
	return at;
}

/* `at` is behind the opening quote; returns what is behind the closing one. */
static const char *skip_string(const char *at, const char *end)
{
	while (at < end && *at != '"')
		at += *at == '\\' && at + 1 < end ? 2 : 1;
	return at < end ? at + 1 : end;
}

static const char *skip_container(const char *at, const char *end)
{
	unsigned depth = 0;

	while (at < end) {
		char c = *at++;

		if (c == '"')
			at = skip_string(at, end);
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			break;
	}
	return at;
}

static const char *skip_value(const char *at, const char *end)
{
	if (at == end)
		return end;
	if (*at == '"')
		return skip_string(at + 1, end);
	if (*at == '{' || *at == '[')
		return skip_container(at, end);
	while (at < end && !strchr(",:]} \n\t\r", *at))
		at++;
	return at;
}

void scan_init(struct scan *s, struct scan_value container)
{
	bool holds = container.size >= 2 && (*container.text == '[' || *container.text == '{');

	s->at = holds ? container.text + 1 : "";
	s->end = holds ? container.text + container.size - 1 : s->at;
}

bool scan_item(struct scan *s, struct scan_value *ret)
{
	const char *start = skip_space(s->at, s->end);

	if (start < s->end && *start == ',')
		start = skip_space(start + 1, s->end);
	s->at = skip_value(start, s->end);
	*ret = (struct scan_value){ start, (size_t)(s->at - start) };
	return ret->size > 0;
}

bool scan_member(struct scan *s, struct scan_value *ret_name, struct scan_value *ret_value)
{
	if (!scan_item(s, ret_name))
		return false;
	s->at = skip_space(s->at, s->end);
	if (s->at == s->end || *s->at != ':')
		return false;
	s->at++;
	return scan_item(s, ret_value);
}

bool scan_is(struct scan_value value, const char *text)
{
	return value.size == strlen(text) && memcmp(value.text, text, value.size) == 0;
}

struct scan_value scan_get(struct scan_value object, const char *name)
{
	struct scan_value key, value;
	size_t n = strlen(name);
	struct scan s;

	scan_init(&s, object);
	while (scan_member(&s, &key, &value))
		if (key.size == n + 2 && *key.text == '"' && memcmp(key.text + 1, name, n) == 0)
			return value;
	return (struct scan_value){ 0 };
}

static unsigned hex4(const char *at, const char *end)
{
	char digits[5] = "";

	if (end - at >= 4)
		memcpy(digits, at, 4);
	return (unsigned)strtoul(digits, NULL, 16);
}

static size_t put_utf8(unsigned c, char to[4])
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Decodes what is behind a backslash; returns how many bytes it gives. */
static size_t decode_escape(const char **at, const char *end, char to[4])
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *known = memchr(from, **at, sizeof(from) - 1);
	unsigned c, low;

	if (**at != 'u') {
		to[0] = known ? into[known - from] : **at;
		++*at;
		return 1;
	}
	c = hex4(*at + 1, end);
	*at += end - *at < 5 ? end - *at : 5;
	if (c >= 0xd800 && c < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
		low = hex4(*at + 2, end);
		*at += 6;
		c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
	}
	return put_utf8(c, to);
}

char *scan_text(struct scan_value value, char *to, size_t size)
{
	const char *at, *end;
	size_t n = 0;

	*to = '\0';
	if (value.size < 2 || *value.text != '"')
		return to;
	at = value.text + 1;
	end = value.text + value.size - 1;
	while (at < end) {
		char bytes[4] = { *at };
		size_t length = 1;

		if (*at++ == '\\' && at < end)
			length = decode_escape(&at, end, bytes);
		if (n + length >= size) {
			n -= text_utf8_incomplete(to, n);
			break;
		}
		memcpy(to + n, bytes, length);
		n += length;
	}
	to[n] = '\0';
	return to;
}

int64_t scan_integer(struct scan_value value)
{
	char digits[24] = "";

	if (value.size > 0 && value.size < sizeof(digits))
		memcpy(digits, value.text, value.size);
	return strtoll(digits, NULL, 10);
}
