/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ini.h"
#include "base/cleanup.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r"
#define NAMES  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

struct ini {
	char section[INI_LINE_MAX];
	bool lost; /* the line of the section was wrong */
	ini_value_fn value;
	void *data;
};

static char *trim(char *text)
{
	size_t n;

	text += strspn(text, BLANKS);
	for (n = strlen(text); n > 0 && strchr(BLANKS, text[n - 1]); n--)
		text[n - 1] = '\0';
	return text;
}

static bool is_name(const char *text)
{
	return *text != '\0' && text[strspn(text, NAMES)] == '\0';
}

static int take_section(struct ini *ini, char *text, struct error *e)
{
	char *end = strchr(text, ']');

	ini->lost = true;
	if (!end || end[1] != '\0')
		return error_set(e, ERROR_INVALID_ARGUMENT, "\"%.100s\" is no [section]", text);
	*end = '\0';
	text = trim(text + 1);
	if (!is_name(text))
		return error_set(e, ERROR_INVALID_ARGUMENT, "\"%.100s\" cannot name a section",
				 text);
	strcpy(ini->section, text);
	ini->lost = false;
	return 0;
}

static int take_line(struct ini *ini, char *text, struct error *e)
{
	char *equals;

	text = trim(text);
	if (*text == '\0' || *text == '#' || *text == ';')
		return 0;
	if (*text == '[')
		return take_section(ini, text, e);
	equals = strchr(text, '=');
	if (!equals)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "\"%.100s\" is neither [section] nor key = value", text);
	*equals = '\0';
	text = trim(text);
	if (!is_name(text))
		return error_set(e, ERROR_INVALID_ARGUMENT, "\"%.100s\" cannot name a value", text);
	return ini->lost ? 0 : ini->value(ini->section, text, trim(equals + 1), ini->data, e);
}

void ini_parse(const char *text, size_t n, ini_value_fn value, ini_wrong_fn wrong, void *data)
{
	struct ini ini = { .value = value, .data = data };
	const char *end = text + n;

	for (unsigned number = 1; text < end; number++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ?: end) - text);
		char line[INI_LINE_MAX];
		struct error e = { 0 };

		if (length >= sizeof(line)) {
			wrong(number, "the line is too long", data);
		} else if (memchr(text, '\0', length)) {
			wrong(number, "there is a NUL in the line", data);
		} else {
			memcpy(line, text, length);
			line[length] = '\0';
			if (take_line(&ini, line, &e) < 0)
				wrong(number, e.message, data);
		}
		text += length + 1;
	}
}
