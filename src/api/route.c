/* SPDX-License-Identifier: Apache-2.0 */
#include "api/route.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: the result is never longer. */
static int decode(char *text, bool plus_is_space, const char *what, struct error *e)
{
	const char *from = text;
	char *to = text;

	for (; *from; from++) {
		if (*from == '+' && plus_is_space) {
			*to++ = ' ';
		} else if (*from == '%') {
			int high = hex_digit(from[1]);
			int low = high < 0 ? -1 : hex_digit(from[2]);

			if (low < 0)
				return error_set(e, ERROR_INVALID_ARGUMENT,
						 "%s: '%%' without two hex digits behind it", what);
			if (high == 0 && low == 0)
				return error_set(e, ERROR_INVALID_ARGUMENT, "%s: NUL byte", what);
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	if (!text_is_utf8(text, (size_t)(to - text)))
		return error_set(e, ERROR_INVALID_ARGUMENT, "%s: not UTF-8", what);
	return 0;
}

/* Cuts `text` at the first `c` and returns what is behind it, NULL when there is none. */
static char *cut(char *text, char c)
{
	char *p = strchr(text, c);

	if (!p)
		return NULL;
	*p = '\0';
	return p + 1;
}

static int parse_path(char *path, struct target *t, struct error *e)
{
	int r;

	for (char *segment = path, *next; segment; segment = next) {
		next = cut(segment, '/');
		if (t->n_segments == TARGET_SEGMENTS_MAX)
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "the path has more than %u segments", TARGET_SEGMENTS_MAX);
		r = decode(segment, false, "path", e);
		if (r < 0)
			return r;
		t->segments[t->n_segments++] = segment;
	}
	return 0;
}

static int parse_query(char *query, struct target *t, struct error *e)
{
	int r;

	for (char *name = query, *next; name; name = next) {
		char *value;

		next = cut(name, '&');
		if (!*name)
			continue;
		value = cut(name, '=');
		r = decode(name, true, "query", e);
		if (r >= 0 && value)
			r = decode(value, true, "query", e);
		if (r < 0)
			return r;
		if (t->n_query == TARGET_QUERY_MAX)
			return error_set(e, ERROR_INVALID_ARGUMENT, "more than %u query parameters",
					 TARGET_QUERY_MAX);
		t->query[t->n_query++] = (struct target_pair){ name, value ? value : "" };
	}
	return 0;
}

int target_parse(char *text, struct target *ret, struct error *e)
{
	struct target t = { 0 };
	char *query;
	int r;

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "the request target has a space or a control character");
	query = cut(text, '?');
	if (!strncmp(text, "http://", 7))
		text += 7 + strcspn(text + 7, "/");
	if (*text != '/')
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "the request target does not begin with '/'");
	r = parse_path(text + 1, &t, e);
	if (r >= 0 && query)
		r = parse_query(query, &t, e);
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}

const char *target_query(const struct target *t, const char *name)
{
	for (unsigned i = 0; i < t->n_query; i++)
		if (!strcmp(t->query[i].name, name))
			return t->query[i].value;
	return NULL;
}

unsigned target_query_all(const struct target *t, const char *name,
			  const char *ret[TARGET_QUERY_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_query; i++)
		if (!strcmp(t->query[i].name, name))
			ret[n++] = t->query[i].value;
	return n;
}

/* The number of literal segments of a pattern that matches, -1 for one that does not. */
static int match_path(const char *pattern, const struct target *t)
{
	int literals = 0;

	for (unsigned i = 0; i < t->n_segments; i++) {
		const char *segment = t->segments[i];
		size_t n;

		if (*pattern++ != '/')
			return -1;
		n = strcspn(pattern, "/");
		if (*pattern == '{') {
			if (!*segment)
				return -1;
		} else {
			if (strncmp(segment, pattern, n) || segment[n])
				return -1;
			literals++;
		}
		pattern += n;
	}
	return *pattern ? -1 : literals;
}

static void allow_add(char allow[ROUTE_ALLOW_MAX], const char *method)
{
	size_t used = strlen(allow);
	const char *p = strstr(allow, method);

	if (p && (p[strlen(method)] == ',' || !p[strlen(method)]))
		return;
	if (used + 2 + strlen(method) >= ROUTE_ALLOW_MAX)
		return;
	if (used)
		strcpy(allow + used, ", ");
	strcat(allow, method);
	if (!strcmp(method, "GET"))
		allow_add(allow, "HEAD");
}

int route_match(const struct route *routes, const char *method, const struct target *t,
		const struct route **ret, char allow[ROUTE_ALLOW_MAX], struct error *e)
{
	const char *wanted = strcmp(method, "HEAD") ? method : "GET";
	const struct route *best = NULL;
	int most = -1;

	*allow = '\0';
	for (const struct route *route = routes; route->method; route++) {
		int literals = match_path(route->path, t);

		if (literals < 0)
			continue;
		allow_add(allow, route->method);
		if (literals > most && !strcmp(route->method, wanted)) {
			best = route;
			most = literals;
		}
	}
	if (best) {
		*ret = best;
		return 0;
	}
	if (!*allow) {
		error_set(e, ERROR_NOT_FOUND, "there is nothing at this path");
		return -ENOENT;
	}
	error_set(e, ERROR_INVALID_ARGUMENT, "this path does not take this method, only %s", allow);
	return -EOPNOTSUPP;
}

const char *route_param(const struct route *route, const struct target *t, const char *name)
{
	const char *pattern = route->path;
	size_t size = strlen(name);

	for (unsigned i = 0; i < t->n_segments && *pattern == '/'; i++) {
		size_t n = strcspn(++pattern, "/");

		if (*pattern == '{' && n == size + 2 && !strncmp(pattern + 1, name, size))
			return t->segments[i];
		pattern += n;
	}
	return NULL;
}

static bool in_list(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (!strcmp(*list, name))
			return true;
	return false;
}

static bool is_there_before(const struct target *t, unsigned at)
{
	for (unsigned i = 0; i < at; i++)
		if (!strcmp(t->query[i].name, t->query[at].name))
			return true;
	return false;
}

int route_check_query(const struct route *route, const struct target *t, struct error *e)
{
	for (unsigned i = 0; i < t->n_query; i++) {
		const char *name = t->query[i].name;

		if (!in_list(route->query, name))
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "'%s' is no query parameter of %s %s", name, route->method,
					 route->path);
		if (is_there_before(t, i) && !in_list(route->repeated, name))
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "query parameter '%s' is there twice", name);
	}
	return 0;
}
