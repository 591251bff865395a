/* SPDX-License-Identifier: Apache-2.0 */
/* wait_private.h - shared by wait.c and wait_parse.c. */
#pragma once
#include "engine/listeners.h"
#include "engine/pattern.h"
#include "engine/probe.h"
#include "engine/wait.h"

struct condition {
	enum wait_type type;
	struct wait *wait;
	bool true_now;
	/* match */
	struct pattern *pattern;
	bool want[STREAMS_MAX];
	uint64_t at[STREAMS_MAX]; /* begin of the first line that was not looked at to its end */
	char *echo;               /* what was typed: no match in the first line; NULL for none */
	size_t echo_size;
	/* port */
	struct port_watch port;
	/* http */
	struct probe *probe;
	char *url;
	/* idle */
	uint64_t idle_ms;
	/* input */
	uint64_t pause_ms; /* until the next look; grows while nothing is written */
	unsigned *counted; /* the engine's number of these; NULL before the wait has begun */
};

struct wait {
	struct listener listener;
	struct session *session;
	struct condition conditions[WAIT_CONDITIONS_MAX];
	unsigned n;
	uv_timer_t
		timer; /* the time-out, the next look for idle, or a result that is there at once */
	uint64_t deadline; /* monotonic ms; 0: none */
	struct wait_result result;
	bool has_result;
	wait_done_fn done;
	void *data;
};

#define ECHO_MAX 1024U /* of a line that was typed, what is known again */

/* Fills the conditions; starts nothing. */
int wait_parse(struct wait *w, const json_t *until, struct error *err);
void wait_conditions_done(struct wait *w);
