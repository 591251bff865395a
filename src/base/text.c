/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Table 3-7 of the Unicode standard: by first byte, the length and what the second byte may be.
 * All further bytes are 80..BF. */
static const struct {
	unsigned char first, last, length, second_min, second_max;
} forms[] = {
	{ 0x00, 0x7f, 1, 0, 0 },       { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf }, { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

/* The length of the character at `p`; 0 when it is none; -(what is there) when it is cut off by the
 * end of the `n` > 0 bytes. */
static int character(const unsigned char *p, size_t n)
{
	size_t have;

	if (*p < 0x80)
		return 1;
	for (size_t i = 1; i < ARRAY_SIZE(forms); i++) {
		if (*p < forms[i].first || *p > forms[i].last)
			continue;
		if (n > 1 && (p[1] < forms[i].second_min || p[1] > forms[i].second_max))
			return 0;
		have = MIN(n, (size_t)forms[i].length);
		for (size_t j = 2; j < have; j++)
			if ((p[j] & 0xc0) != 0x80)
				return 0;
		return have < forms[i].length ? -(int)have : (int)have;
	}
	return 0;
}

size_t text_utf8_prefix(const void *p, size_t n)
{
	const unsigned char *bytes = p;
	size_t i = 0;

	while (i < n) {
		int length = character(bytes + i, n - i);

		if (length <= 0)
			break;
		i += (size_t)length;
	}
	return i;
}

bool text_is_utf8(const void *p, size_t n)
{
	return text_utf8_prefix(p, n) == n;
}

size_t text_utf8_incomplete(const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t back = 1; back <= 3 && back <= n; back++) {
		if ((bytes[n - back] & 0xc0) == 0x80)
			continue;
		return character(bytes + n - back, back) == -(int)back ? back : 0;
	}
	return 0;
}

size_t text_utf8_skip(const void *p, size_t n)
{
	const unsigned char *bytes = p;
	size_t i = 0;

	while (i < n && i < 3 && (bytes[i] & 0xc0) == 0x80)
		i++;
	return i;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int text_base64(const void *p, size_t n, char **ret)
{
	const unsigned char *in = p;
	char *out, *text;

	if (n > PTRDIFF_MAX / 2)
		return -EFBIG;
	text = out = malloc((n + 2) / 3 * 4 + 1);
	if (!text)
		return -ENOMEM;
	for (; n > 0; in += 3) {
		unsigned have = n < 3 ? (unsigned)n : 3;
		unsigned group = (unsigned)in[0] << 16;

		group |= have > 1 ? (unsigned)in[1] << 8 : 0;
		group |= have > 2 ? in[2] : 0;
		*out++ = base64_digits[group >> 18];
		*out++ = base64_digits[group >> 12 & 63];
		*out++ = have > 1 ? base64_digits[group >> 6 & 63] : '=';
		*out++ = have > 2 ? base64_digits[group & 63] : '=';
		n -= have;
	}
	*out = '\0';
	*ret = text;
	return 0;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four digits, the last `padding` of which are `=`, as 24 bits. */
static int base64_group(const char *text, unsigned padding, unsigned *ret)
{
	unsigned group = 0;

	for (unsigned i = 0; i < 4; i++) {
		int value = i >= 4 - padding ? 0 : base64_value(text[i]);

		if (value < 0)
			return -EINVAL;
		group = group << 6 | (unsigned)value;
	}
	if (group & ((1U << (8 * padding)) - 1))
		return -EINVAL;
	*ret = group;
	return 0;
}

int text_base64_decode(const char *text, size_t n, char **ret, size_t *ret_size)
{
	_cleanup_(freep) char *bytes = NULL;
	size_t size = 0;

	if (n % 4)
		return -EINVAL;
	bytes = malloc(n / 4 * 3 + 1);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += 4) {
		unsigned padding = 0, group;
		int r;

		if (i + 4 == n && text[i + 3] == '=')
			padding = text[i + 2] == '=' ? 2 : 1;
		r = base64_group(text + i, padding, &group);
		if (r < 0)
			return r;
		for (unsigned j = 0; j < 3 - padding; j++)
			bytes[size++] = (char)(group >> (16 - 8 * j));
	}
	bytes[size] = '\0';
	*ret_size = size;
	*ret = take(bytes);
	return 0;
}

char *text_hex(const void *p, size_t n, char *buf)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++) {
		buf[2 * i] = digits[bytes[i] >> 4];
		buf[2 * i + 1] = digits[bytes[i] & 15];
	}
	buf[2 * n] = '\0';
	return buf;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int text_hex_decode(const char *text, void *ret, size_t size)
{
	unsigned char *bytes = ret;

	if (strlen(text) != 2 * size)
		return -EINVAL;
	for (size_t i = 0; i < 2 * size; i++)
		if (hex_value(text[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < size; i++)
		bytes[i] =
			(unsigned char)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
	return 0;
}

size_t text_show(const void *p, size_t n, char ret[TEXT_SHOWN_SIZE])
{
	const unsigned char *c = p;
	int length = character(c, n);

	if (length <= 0 || *c < ' ' || *c == 0x7f) {
		(void)snprintf(ret, TEXT_SHOWN_SIZE, "\\x%02x", *c);
		return 1;
	}
	if (length == 2 && c[0] == 0xc2 && c[1] < 0xa0) {
		(void)snprintf(ret, TEXT_SHOWN_SIZE, "\\x%02x\\x%02x", c[0], c[1]);
		return 2;
	}
	memcpy(ret, c, (size_t)length);
	ret[length] = '\0';
	return (size_t)length;
}

/* Appends one character, or one byte that belongs to none. Returns how many bytes that was. */
static int escape_one(struct buffer *b, const unsigned char *p, size_t n)
{
	static const char from[] = "\"\\\n\t\r", to[] = "\"\\ntr";
	const char *known = *p ? strchr(from, *p) : NULL;
	char shown[TEXT_SHOWN_SIZE];
	size_t length = 1;
	int r;

	if (known) {
		r = buffer_printf(b, "\\%c", to[known - from]);
	} else {
		length = text_show(p, n, shown);
		r = buffer_append_text(b, shown);
	}
	return r < 0 ? r : (int)length;
}

int text_escape(struct buffer *b, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n;) {
		int r = escape_one(b, bytes + i, n - i);

		if (r < 0)
			return r;
		i += (size_t)r;
	}
	return 0;
}

__extension__ typedef unsigned __int128 wide;

void text_hash128(const void *p, size_t n, uint64_t ret[2])
{
	const wide prime = ((wide)1 << 88) + 0x13b;
	wide hash = (wide)0x6c62272e07bb0142ULL << 64 | 0x62b821756295c58dULL;
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * prime;
	ret[0] = (uint64_t)(hash >> 64);
	ret[1] = (uint64_t)hash;
	if (!ret[0] && !ret[1])
		ret[1] = 1;
}

int text_list_copy(char *const *list, size_t n, char ***ret)
{
	_cleanup_(text_list_freep) char **copy = NULL;

	copy = calloc(n + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(list[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	*ret = take(copy);
	return 0;
}

char **text_list_free(char **list)
{
	for (char **item = list; item && *item; item++)
		free(*item);
	free(list);
	return NULL;
}
