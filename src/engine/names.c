/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - what a session may be called, and what it is called when nobody says. */
#include "engine/spawn.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BASE_MAX 48
#define NEAR_MAX                                                                                   \
	16U /* the first free number up to here; beyond, the next after the last one given */

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

static bool looks_like_number(const char *name)
{
	return name[strspn(name, "0123456789")] == 0;
}

/* pipe-<16 hex>-<8 hex>, or the beginning of one that could be taken for an id. */
static bool looks_like_id(const char *name)
{
	const char *at = strncmp(name, "pipe-", 5) == 0  ? name + 5
			 : strncmp(name, "pty-", 4) == 0 ? name + 4
							 : NULL;
	size_t n;

	if (!at)
		return false;
	n = strspn(at, "0123456789abcdef");
	return n == 16 && at[16] == '-' && strspn(at + 17, "0123456789abcdef") == 8 && at[25] == 0;
}

int name_check(const char *name, struct error *err)
{
	size_t n = strlen(name);
	const char *wrong = NULL;

	if (n == 0 || n > SESSION_NAME_MAX)
		wrong = "has 1 to 64 characters";
	else if (!isalnum((unsigned char)name[0]))
		wrong = "begins with a letter or a digit";
	else if (looks_like_number(name))
		wrong = "is not a number (numbers are handles)";
	else if (looks_like_id(name))
		wrong = "does not look like a session id";
	for (const char *p = name; !wrong && *p; p++)
		if (!is_name_char(*p))
			wrong = "consists of letters, digits, `_`, `.` and `-`";
	if (wrong)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "name \"%s\" is not possible: a name %s", name, wrong);
	return 0;
}

int name_make(struct engine *e, const char *command, char ret[SESSION_NAME_MAX + 1])
{
	const char *slash = strrchr(command, '/');
	char base[BASE_MAX + 1];
	unsigned number = 1, *last;
	size_t n = 0;

	for (const char *p = slash ? slash + 1 : command; *p && n < BASE_MAX; p++)
		if (is_name_char(*p) && (n > 0 || isalnum((unsigned char)*p)))
			base[n++] = *p;
	base[n] = 0;
	if (n == 0 || looks_like_number(base) || looks_like_id(base))
		snprintf(base, sizeof(base), "session");
	snprintf(ret, SESSION_NAME_MAX + 1, "%s", base);
	last = lookup_last_number(e, base);
	while (session_by_name(e, ret)) {
		number = number == NEAR_MAX && *last > number ? *last + 1 : number + 1;
		snprintf(ret, SESSION_NAME_MAX + 1, "%s-%u", base, number);
	}
	if (number > NEAR_MAX)
		*last = number;
	return 0;
}
