/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_route.c - request targets, taken apart and matched against the real routes. */
#include "api/route.h"
#include "api/routes.h"
#include "base/text.h"
#include "input.h"

static void check_text(const char *text, const char *from, size_t size)
{
	must(text >= from && text + strlen(text) <= from + size);
	must(text_is_utf8(text, strlen(text)));
}

/* A name that is repeated has several values, in their order; the first is the one. */
static void check_values(const struct target *t, unsigned i)
{
	const char *all[TARGET_QUERY_MAX];
	unsigned n = target_query_all(t, t->query[i].name, all);
	bool found = false;

	must(n > 0 && target_query(t, t->query[i].name) == all[0]);
	for (unsigned j = 0; j < n; j++)
		found |= all[j] == t->query[i].value;
	must(found);
}

static void check_target(const struct target *t, const char *text, size_t size)
{
	must(t->n_segments <= TARGET_SEGMENTS_MAX && t->n_query <= TARGET_QUERY_MAX);
	for (unsigned i = 0; i < t->n_segments; i++)
		check_text(t->segments[i], text, size);
	for (unsigned i = 0; i < t->n_query; i++) {
		check_text(t->query[i].name, text, size);
		if (t->query[i].value[0])
			check_text(t->query[i].value, text, size);
		check_values(t, i);
	}
}

static void match(const char *method, const struct target *t)
{
	const struct route *route = NULL;
	struct error e = { 0 };
	char allow[ROUTE_ALLOW_MAX];
	const char *id;

	if (route_match(routes, method, t, &route, allow, &e) < 0) {
		must(!route && e.message[0]);
		must(strlen(allow) < sizeof(allow));
		return;
	}
	id = route_param(route, t, "id");
	must(!id || *id);
	must((id == NULL) == (strstr(route->path, "{id}") == NULL));
	route_check_query(route, t, &e);
}

/* `METHOD TARGET` */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *target;
	struct target t;
	struct error e = { 0 };

	must(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = 0;
	target = strchr(text, ' ');
	if (target) {
		*target++ = 0;
		if (target_parse(target, &t, &e) == 0) {
			check_target(&t, text, size);
			match(text, &t);
		} else {
			must(e.code == ERROR_INVALID_ARGUMENT);
		}
	}
	free(text);
	return 0;
}
