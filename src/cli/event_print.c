/* SPDX-License-Identifier: Apache-2.0 */
/* event_print.c - one event as a line for people. */
#include "base/text.h"
#include "cli/events.h"
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const categories[] = { "lifecycle", "file", "network", "process" };

static const char *string(const json_t *event, const char *name)
{
	const char *text = json_string_value(json_object_get(event, name));

	return text ? text : "";
}

/* --- paths ----------------------------------------------------------------------------------- */

/* Bytes that both have in front, up to where a component ends in both. */
static size_t common(const char *path, const char *cwd)
{
	size_t same = 0, i = 0;

	while (path[i] && path[i] == cwd[i]) {
		if (path[i] == '/')
			same = i;
		i++;
	}
	if ((path[i] == '/' || !path[i]) && (cwd[i] == '/' || !cwd[i]))
		same = i;
	return same;
}

char *path_from(const char *path, const char *cwd)
{
	size_t same, ups = 0;
	const char *rest;
	char *made, *to;

	if (!cwd || path[0] != '/' || cwd[0] != '/' || (same = common(path, cwd)) == 0)
		return strdup(path);
	for (const char *p = cwd + same; *p; p++)
		ups += *p == '/';
	rest = path + same + (path[same] == '/');
	if (3 * ups + strlen(rest) >= strlen(path))
		return strdup(path);
	made = malloc(3 * ups + strlen(rest) + 2);
	if (!made)
		return NULL;
	to = made;
	for (size_t i = 0; i < ups; i++)
		to = stpcpy(to, "../");
	strcpy(to, *rest || ups > 0 ? rest : ".");
	return made;
}

char *event_address(const json_t *event, const char *name)
{
	const json_t *a = json_object_get(event, name);
	const char *address = string(a, "address");
	char *text = event_text(a, "path");
	int port = (int)json_integer_value(json_object_get(a, "port"));

	if (text || !a)
		return text;
	if (asprintf(&text, strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, port) < 0)
		return NULL;
	return text;
}

/* --- choosing -------------------------------------------------------------------------------- */

static bool path_matches(const char *glob, const json_t *event, const char *name, const char *cwd)
{
	_cleanup_(freep) char *path = event_text(event, name);
	_cleanup_(freep) char *shown = path ? path_from(path, cwd) : NULL;

	return path && (fnmatch(glob, path, 0) == 0 || (shown && fnmatch(glob, shown, 0) == 0));
}

bool event_category_is_in(unsigned set, const char *category)
{
	for (unsigned i = 0; set != 0 && i < ARRAY_SIZE(categories); i++)
		if (strcmp(categories[i], category) == 0)
			return (set & 1U << i) != 0;
	return true;
}

bool event_matches(const struct event_filter *f, const json_t *event, const char *cwd)
{
	if (f->failed && json_integer_value(json_object_get(event, "result")) >= 0)
		return false;
	if (!event_category_is_in(f->categories, string(event, "category")))
		return false;
	return !f->path || path_matches(f->path, event, "path", cwd) ||
	       path_matches(f->path, event, "path2", cwd);
}

/* --- printing -------------------------------------------------------------------------------- */

void event_print_text(FILE *to, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	char shown[TEXT_SHOWN_SIZE];

	while (n > 0) {
		size_t length = text_show(text, n, shown);

		fputs(shown, to);
		text += length;
		n -= length;
	}
}

static void print_path(FILE *to, const json_t *event, const char *name, const char *before,
		       const char *cwd)
{
	_cleanup_(freep) char *path = event_text(event, name);
	_cleanup_(freep) char *shown = path ? path_from(path, cwd) : NULL;

	if (!shown)
		return;
	fputs(before, to);
	event_print_text(to, shown);
}

static void print_command(FILE *to, const json_t *event, const char *cwd)
{
	_cleanup_(text_list_freep) char **words = event_words(event);

	if (!words)
		print_path(to, event, "path", " ", cwd);
	for (size_t i = 0; words && words[i]; i++) {
		bool quote = words[i][0] == '\0' || strpbrk(words[i], " \t\n'\"$");

		fputs(quote ? " '" : " ", to);
		event_print_text(to, words[i]);
		fputs(quote ? "'" : "", to);
	}
}

static void print_address(FILE *to, const char *before, const char *address)
{
	if (!address || !*address)
		return;
	fputs(before, to);
	event_print_text(to, address);
}

static void print_number(FILE *to, const json_t *event, const char *name, const char *unit)
{
	json_int_t n = json_integer_value(json_object_get(event, name));

	if (n > 0)
		fprintf(to, " %lld %s", (long long)n, unit);
}

static void print_flags(FILE *to, const json_t *event)
{
	const json_t *flags = json_object_get(event, "flags");
	int how = (int)json_integer_value(flags) & O_ACCMODE;

	if (flags)
		fputs(how == O_RDONLY   ? " (read)"
		      : how == O_WRONLY ? " (write)"
					: " (read, write)",
		      to);
}

static void print_end(FILE *to, const json_t *event, const char *cwd)
{
	_cleanup_(freep) char *local = event_address(event, "local");
	_cleanup_(freep) char *remote = event_address(event, "remote");
	json_int_t child = json_integer_value(json_object_get(event, "childPid"));
	const json_t *code = json_object_get(event, "exitCode");

	if (strcmp(string(event, "kind"), "executed") == 0) {
		print_command(to, event, cwd);
	} else {
		print_path(to, event, "path", " ", cwd);
		print_path(to, event, "path2", " -> ", cwd);
	}
	print_address(to, " ", local);
	print_address(to, " -> ", remote);
	if (child > 0)
		fprintf(to, " %lld", (long long)child);
	if (code)
		fprintf(to, json_integer_value(code) < 0 ? " signal %lld" : " %lld",
			llabs(json_integer_value(code)));
	print_flags(to, event);
	print_number(to, event, "bytesRead", "bytes read");
	print_number(to, event, "bytesWritten", "bytes written");
	print_number(to, event, "bytesReceived", "bytes received");
	print_number(to, event, "bytesSent", "bytes sent");
	if (json_integer_value(json_object_get(event, "result")) < 0)
		fprintf(to, ": %s", string(event, "error"));
}

void event_print(FILE *to, const json_t *event, const char *cwd)
{
	json_int_t ms = json_integer_value(json_object_get(event, "timestampMs"));
	_cleanup_(freep) char *comm = event_text(event, "comm");
	time_t seconds = (time_t)(ms / 1000);
	char clock[16] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(to, "%s.%03d %7lld ", clock, (int)(ms % 1000),
		(long long)json_integer_value(json_object_get(event, "pid")));
	event_print_text(to, comm ? comm : "-");
	fprintf(to, " %s", string(event, "kind"));
	print_end(to, event, cwd);
	fputc('\n', to);
}
