/* SPDX-License-Identifier: Apache-2.0 */
#include "api/describe.h"
#include "api/observe.h"
#include "api/routes.h"
#include "api/spawn_body.h"
#include <string.h>

static const struct {
	int (*handle)(struct request *rq, void *context, struct error *err);
	const struct json_field *fields;
} bodies[] = {
	{ daemon_stop, daemon_stop_fields }, { sessions_spawn, spawn_body_fields },
	{ sessions_purge, filter_fields },   { session_wait, wait_fields },
	{ session_stop_route, stop_fields }, { sessions_stop, filter_fields },
	{ session_kill_route, kill_fields }, { observers_add, observe_body_fields },
};

static const char *const type_names[] = {
	[FIELD_STRING] = "string", [FIELD_BYTES] = "bytes", [FIELD_LIST] = "list",
	[FIELD_MAP] = "map",       [FIELD_BOOL] = "bool",   [FIELD_U64] = "u64",
	[FIELD_I64] = "i64",       [FIELD_ENUM] = "enum",   [FIELD_DURATION] = "duration",
	[FIELD_JSON] = "json",     [FIELD_WORDS] = "words",
};

static json_t *describe_field(const struct json_field *f)
{
	json_t *o = json_pack("{s:s, s:s, s:b}", "name", f->name, "type", type_names[f->type],
			      "required", (int)f->required);
	json_t *values;

	if (f->min != 0)
		json_object_set_new(o, "min", json_integer(f->min));
	if (f->max != 0)
		json_object_set_new(o, "max", json_integer(f->max));
	if (!f->names)
		return o;
	values = json_array();
	for (const struct json_name *name = f->names; name->name; name++)
		json_array_append_new(values, json_string(name->name));
	json_object_set_new(o, "values", values);
	return o;
}

static json_t *describe_body(const struct route *route)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		for (const struct json_field *f = bodies[i].fields;
		     bodies[i].handle == route->handle && f->name; f++)
			json_array_append_new(list, describe_field(f));
	return list;
}

static json_t *describe_names(const char *const *names)
{
	json_t *list = json_array();

	for (; names && *names; names++)
		json_array_append_new(list, json_string(*names));
	return list;
}

static void print(FILE *to, json_t *line)
{
	json_dumpf(line, to, JSON_COMPACT);
	json_decref(line);
	fputc('\n', to);
}

void describe_api(FILE *to)
{
	for (const struct route *route = routes; route->method; route++)
		print(to, json_pack("{s:s, s:s, s:o, s:o, s:I, s:b, s:o}", "method", route->method,
				    "path", route->path, "query", describe_names(route->query),
				    "repeated", describe_names(route->repeated), "bodyMax",
				    (json_int_t)route->body_max, "keepPlace",
				    (int)route->keep_place, "body", describe_body(route)));
	for (unsigned code = ERROR_NONE + 1; code < N_ERROR_CODES; code++)
		print(to,
		      json_pack("{s:s, s:i, s:b}", "error", error_code_name((enum error_code)code),
				"status", error_code_http_status((enum error_code)code),
				"retryable", (int)error_code_retryable((enum error_code)code)));
}
