/* SPDX-License-Identifier: Apache-2.0 */
#include "api/render.h"
#include "api/routes.h"
#include "base/json.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int daemon_show(struct request *rq, void *context, struct error *err)
{
	struct engine *e = context;
	unsigned live = 0;
	char *socket;
	json_t *o;

	(void)err;
	for (struct session *s = e->first; s; s = s->newer)
		live += !session_ended(s) || session_tree_alive(s);
	if (asprintf(&socket, "%s/api.sock", e->dir) < 0)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	o = json_pack("{s:I, s:I, s:s, s:s, s:i, s:i, s:b}", "keeperPid",
		      (json_int_t)word_load(&e->daemon->keeper_pid), "enginePid",
		      (json_int_t)getpid(), "version", REEVE_VERSION, "socket", socket, "sessions",
		      (int)live, "sessionsListed", (int)e->n_sessions, "cgroups",
		      (int)(e->daemon_fds[DAEMON_FD_CGROUP] >= 0));
	json_object_set_new(o, "startedAt", render_time(word_load(&e->daemon->started)));
	json_object_set_new(o, "epoch", json_integer((json_int_t)word_load(&e->daemon->epoch)));
	free(socket);
	return request_reply_json(rq, 200, o);
}

static const struct json_name stop_modes[] = {
	{ "stop", QUIT_STOP },
	{ "keep", QUIT_KEEP },
	{ 0 },
};

struct stop_body {
	enum quit_mode sessions;
};

const struct json_field daemon_stop_fields[] = {
	{ .name = "sessions",
	  .type = FIELD_ENUM,
	  .offset = offsetof(struct stop_body, sessions),
	  .names = stop_modes },
	{ 0 },
};

int daemon_stop(struct request *rq, void *context, struct error *err)
{
	struct stop_body body = { .sessions = QUIT_STOP };
	struct engine *e = context;
	int r = request_fields(rq, daemon_stop_fields, &body, err);

	if (r < 0)
		return r;
	r = request_reply_json(rq, 202,
			       json_pack("{s:I, s:s}", "keeperPid",
					 (json_int_t)word_load(&e->daemon->keeper_pid), "sessions",
					 json_name_of(stop_modes, body.sessions)));
	engine_quit(e, body.sessions);
	return r;
}
