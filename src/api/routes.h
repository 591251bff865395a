/* SPDX-License-Identifier: Apache-2.0 */
/* routes.h - the API's routes, one file per resource. docs/api/openapi.json describes them. */
#pragma once
#include "api/http.h"
#include "base/json.h"
#include "engine/session.h"

int routes_serve(struct engine *e, struct error *err);
void routes_done(struct engine *e);

/* The session that the path's {id} names. */
int request_session(struct request *rq, struct engine *e, struct session **ret, struct error *err);

/* The request's body, read by `fields` into `ret`, see json_read. */
int request_fields(struct request *rq, const struct json_field *fields, void *ret,
		   struct error *err);

/* A query parameter as a number; `*ret` is left alone when absent. */
int request_query_u64(const struct request *rq, const char *name, uint64_t max, uint64_t *ret,
		      struct error *err);
/* "", "1", "true", "yes" or "0", "false", "no". */
int request_query_bool(const struct request *rq, const char *name, bool *ret, struct error *err);

/* Handlers. */
int daemon_show(struct request *rq, void *context, struct error *err);
int daemon_stop(struct request *rq, void *context, struct error *err);
int sessions_list(struct request *rq, void *context, struct error *err);
int sessions_spawn(struct request *rq, void *context, struct error *err);
int sessions_stop(struct request *rq, void *context, struct error *err);
int sessions_purge(struct request *rq, void *context, struct error *err);
int session_show(struct request *rq, void *context, struct error *err);
int session_delete(struct request *rq, void *context, struct error *err);
int session_logs(struct request *rq, void *context, struct error *err);
int session_attach(struct request *rq, void *context, struct error *err);
int session_stdin(struct request *rq, void *context, struct error *err);
int session_wait(struct request *rq, void *context, struct error *err);
int session_stop_route(struct request *rq, void *context, struct error *err);
int session_kill_route(struct request *rq, void *context, struct error *err);
int session_tree_route(struct request *rq, void *context, struct error *err);
int session_screen(struct request *rq, void *context, struct error *err);
int capabilities_show(struct request *rq, void *context, struct error *err);
int observers_add(struct request *rq, void *context, struct error *err);
int observers_list(struct request *rq, void *context, struct error *err);
int observer_show(struct request *rq, void *context, struct error *err);
int observer_delete(struct request *rq, void *context, struct error *err);
int observer_events(struct request *rq, void *context, struct error *err);

extern const struct route routes[];

/* The fields of their bodies. */
extern const struct json_field daemon_stop_fields[];
extern const struct json_field stop_fields[];
extern const struct json_field filter_fields[];
extern const struct json_field kill_fields[];
extern const struct json_field wait_fields[];
