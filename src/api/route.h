/* SPDX-License-Identifier: Apache-2.0 */
/* route.h - request targets taken apart and matched against a table. Pure.
 *
 * The path is split at '/' first and percent-decoded then, so "a%2Fb" is one segment. In the query
 * '+' is a space. Text that is not UTF-8, or holds a NUL, is refused. */
#pragma once
#include "api/http.h"

#define TARGET_SEGMENTS_MAX 16U
#define ROUTE_ALLOW_MAX     64U

struct target_pair {
	const char *name, *value;
};

struct target {
	unsigned n_segments, n_query;
	const char *segments[TARGET_SEGMENTS_MAX];
	struct target_pair query[TARGET_QUERY_MAX];
};

/* Cuts and decodes `text` ("/v1/logs?tail=5", or "http://host/v1/...") in place; `*ret` points into
 * it. Empty segments are kept and match no route; an empty query parameter ("&&") is passed over.
 * All errors are ERROR_INVALID_ARGUMENT. */
int target_parse(char *text, struct target *ret, struct error *e);

/* The value of a query parameter, of several of its name the first: "" when it has none, NULL when
 * it is absent. */
const char *target_query(const struct target *t, const char *name);
/* All values of a parameter, in their order. Returns how many. */
unsigned target_query_all(const struct target *t, const char *name,
			  const char *ret[TARGET_QUERY_MAX]);

/* Finds the route; of several that match the one with the most literal segments. GET answers HEAD
 * too. -ENOENT and ERROR_NOT_FOUND: no route has this path. -EOPNOTSUPP and ERROR_INVALID_ARGUMENT:
 * only with other methods, which are in `allow` ("GET, HEAD, POST"). */
int route_match(const struct route *routes, const char *method, const struct target *t,
		const struct route **ret, char allow[ROUTE_ALLOW_MAX], struct error *e);

/* What `{name}` of the route's path stands for in a target that matched it; NULL when the path has
 * no such name. */
const char *route_param(const struct route *route, const struct target *t, const char *name);

/* Refuses query parameters that the route does not know, and those that are there twice. */
int route_check_query(const struct route *route, const struct target *t, struct error *e);
