/* SPDX-License-Identifier: Apache-2.0 */
/* filter.h - which sessions are meant, as a query or a body describes them. */
#pragma once
#include "api/http.h"
#include "base/json.h"
#include "engine/session.h"

/* Of sessions that fit all of it. Zeroed: any. */
struct session_filter {
	int status;              /* of filter_statuses; 0: any */
	char *originator;        /* NULL: any */
	struct json_list labels; /* `key` or `key=value` each */
	uint64_t older_ms;       /* made so long ago, or longer */
};

/* The fields of a body that is a filter. */
extern const struct json_field filter_fields[];

/* `status`, `label`, `originator` and `olderThan` of a query; the whole of a body. `*ret` is zeroed
 * or a filter that filter_done must free, also after an error. */
int filter_from_query(const struct request *rq, struct session_filter *ret, struct error *err);
int filter_from_body(struct request *rq, struct session_filter *ret, struct error *err);
void filter_done(struct session_filter *f);

bool session_fits(const struct session *s, const struct session_filter *f);

/* Its command runs, or something of its tree does. */
bool session_is_live(const struct session *s);
