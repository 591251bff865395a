/* SPDX-License-Identifier: Apache-2.0 */
/* observe.h - observers of sessions in the API: bodies, subscriptions and events as JSON. */
#pragma once
#include "api/http.h"
#include "base/json.h"
#include "base/json_write.h"
#include "engine/observe.h"

#define SUBSCRIBER_ID_MAX 32

/* What POST .../observers takes, and `observe` of a spawn request. */
struct observe_body {
	struct json_list categories;
	struct json_map backends;
	uint64_t capacity;
	int kind; /* KIND_PIPE, KIND_PTY; 0: not said */
	int backpressure, detail;
	struct observe_request request; /* its `forced` point into `backends` */
};

extern const struct json_field observe_body_fields[];

/* Reads and checks it, and fills `request`. Call observe_body_done in any case. */
int observe_body_read(struct observe_body *b, const json_t *json, struct error *err);
void observe_body_done(struct observe_body *b);
/* Who says of which kind the session is must be right. */
int observe_body_check_kind(const struct observe_body *b, bool is_pty, struct error *err);
/* Whether every backend is to be known, or those that are best. */
bool observe_body_forces(const struct observe_body *b);

/* The session and the subscription's place that the path names. */
int request_subscriber(struct request *rq, struct engine *e, struct session **ret_session,
		       unsigned *ret_place, struct error *err);

/* "sub-1" and back; 0 for what is none. */
void subscriber_id(uint64_t number, char ret[SUBSCRIBER_ID_MAX]);
uint64_t subscriber_number(const char *id);

/* One subscription. */
void render_subscriber(struct json_writer *w, const struct session *s, unsigned place);

/* The entries of a matrix: a list named `name`. */
void render_choices(struct json_writer *w, const char *name, const struct choice *choices,
		    const struct reeve_observer_config *which);

/* An event as one JSON object, without a line break. */
void render_event(struct json_writer *w, const struct reeve_event *e, uint64_t seq);
