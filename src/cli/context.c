/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/context.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENV_FILE_MAX (1 * MiB)

static int no_memory(struct error *e)
{
	return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "request");
}

/* Sets a variable, or leaves out one whose name no JSON string can hold. */
static int set_variable(json_t *env, const char *name, size_t n, const char *value, struct error *e)
{
	if (n == 0 || !text_is_utf8(name, n))
		return 0;
	return json_object_setn_new_nocheck(env, name, n, json_bytes(value, strlen(value))) < 0
		       ? no_memory(e)
		       : 0;
}

static int add_own(json_t *env, struct error *e)
{
	int r = 0;

	for (char **v = environ; *v && r == 0; v++) {
		const char *equals = strchr(*v, '=');
		size_t n = equals ? (size_t)(equals - *v) : 0;

		/* of several with one name getenv(3) sees the first */
		if (n > 0 && !json_object_getn(env, *v, n))
			r = set_variable(env, *v, n, equals + 1, e);
	}
	return r;
}

/* Finds the program as a shell does; copies the path, or returns false. */
static bool find_program(const char *name, char *ret, size_t size)
{
	const char *dir = strchr(name, '/') ? NULL : getenv("PATH");

	if (!dir)
		return (size_t)snprintf(ret, size, "%s", name) < size && strchr(name, '/');
	for (;; dir++) {
		size_t n = strcspn(dir, ":");
		int length = snprintf(ret, size, "%.*s/%s", n ? (int)n : 1, n ? dir : ".", name);
		struct stat st;

		if ((size_t)length < size && stat(ret, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(ret, X_OK) == 0)
			return true;
		dir += n;
		if (*dir == '\0')
			return false;
	}
}

/* Many a shell sets `_` to the path of what it starts: of us, where without us it would be that of
 * the command. One that names another program is none of ours. */
static int name_program(json_t *env, const char *program, struct error *e)
{
	const char *named = getenv("_");
	char path[PATH_MAX];
	struct stat self, other;

	if (!named || stat("/proc/self/exe", &self) < 0 || stat(named, &other) < 0 ||
	    self.st_dev != other.st_dev || self.st_ino != other.st_ino ||
	    !find_program(program, path, sizeof(path)))
		return 0;
	return set_variable(env, "_", 1, path, e);
}

int context_set(json_t *env, const char *assignment, struct error *e)
{
	const char *equals = strchr(assignment, '=');
	size_t n = equals ? (size_t)(equals - assignment) : strlen(assignment);
	const char *value = equals ? equals + 1 : getenv(assignment);

	if (n == 0 || !text_is_utf8(assignment, n))
		return error_set(e, ERROR_INVALID_ARGUMENT, "\"%s\" is not KEY=VALUE", assignment);
	return value ? set_variable(env, assignment, n, value, e) : 0;
}

int context_read_file(json_t *env, const char *path, struct error *e)
{
	_cleanup_(freep) char *text = NULL;
	char *rest, *line;
	size_t size;
	int r = fd_read_file(path, ENV_FILE_MAX, &text, &size);

	if (r < 0)
		return error_set_errno(e, ERROR_INVALID_ARGUMENT, r, "read %s", path);
	if (memchr(text, '\0', size))
		return error_set(e, ERROR_INVALID_ARGUMENT, "%s holds a NUL", path);
	rest = text;
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		size_t n = strlen(line);

		if (n > 0 && line[n - 1] == '\r')
			line[n - 1] = '\0';
		line += strspn(line, " \t");
		if (*line != '\0' && *line != '#')
			r = context_set(env, line, e);
	}
	return r;
}

static int add_environment(json_t *request, const struct context_options *o, struct error *e)
{
	json_t *env = json_object();
	int r;

	if (!env || json_object_set_new_nocheck(request, "env", env) < 0)
		return no_memory(e);
	r = o->clear ? 0 : add_own(env, e);
	if (r == 0 && !o->clear)
		r = name_program(env, o->program, e);
	for (unsigned i = 0; r == 0 && i < o->unset->n; i++)
		json_object_del(env, o->unset->items[i]);
	for (unsigned i = 0; r == 0 && i < o->files->n; i++)
		r = context_read_file(env, o->files->items[i], e);
	for (unsigned i = 0; r == 0 && i < o->set->n; i++)
		r = context_set(env, o->set->items[i], e);
	return r;
}

/* getcwd(2) gives no path for a directory that was removed or is not below the root. */
static int add_directory(json_t *request, const char *chosen, struct error *e)
{
	char own[PATH_MAX] = "", joined[2 * PATH_MAX];
	const char *path = chosen ? chosen : own;

	if (!chosen || chosen[0] != '/') {
		if (!getcwd(own, sizeof(own)) || own[0] != '/')
			return error_set_errno(e, ERROR_INVALID_ARGUMENT, errno ? errno : ENOENT,
					       "the current directory");
		if (chosen) {
			snprintf(joined, sizeof(joined), "%s/%s", own, chosen);
			path = joined;
		}
	}
	return json_object_set_new_nocheck(request, "cwd", json_bytes(path, strlen(path))) < 0
		       ? no_memory(e)
		       : 0;
}

static json_t *limit_value(rlim_t value)
{
	return value == RLIM_INFINITY ? json_null() : json_integer((json_int_t)value);
}

static int add_limits(json_t *request, struct error *e)
{
	json_t *object = json_object();

	if (!object || json_object_set_new_nocheck(request, "limits", object) < 0)
		return no_memory(e);
	for (const struct limit_name *l = limit_names; l->name; l++) {
		struct rlimit limit;
		json_t *pair;

		if (getrlimit((__rlimit_resource_t)l->resource, &limit) < 0)
			continue;
		pair = json_array();
		json_array_append_new(pair, limit_value(limit.rlim_cur));
		json_array_append_new(pair, limit_value(limit.rlim_max));
		if (json_object_set_new_nocheck(object, l->name, pair) < 0)
			return no_memory(e);
	}
	return 0;
}

static int add_umask_and_nice(json_t *request, struct error *e)
{
	char text[8];
	mode_t mask = umask(0);
	int niceness;

	umask(mask);
	snprintf(text, sizeof(text), "%04o", (unsigned)mask & 0777);
	errno = 0;
	niceness = getpriority(PRIO_PROCESS, 0);
	if (json_object_set_new_nocheck(request, "umask", json_string(text)) < 0 ||
	    (errno == 0 &&
	     json_object_set_new_nocheck(request, "nice", json_integer(niceness)) < 0))
		return no_memory(e);
	return 0;
}

int context_add(json_t *request, const struct context_options *o, struct error *e)
{
	int r = add_environment(request, o, e);

	if (r == 0)
		r = add_directory(request, o->cwd, e);
	if (r == 0)
		r = add_limits(request, e);
	if (r == 0)
		r = add_umask_and_nice(request, e);
	return r;
}
