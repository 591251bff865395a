/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - the processes of a session, now. */
#include "api/routes.h"
#include "base/json.h"
#include "core/proc.h"
#include "engine/members.h"
#include <string.h>

#define ITEMS_MAX 4096U

struct listing {
	json_t *items;
	unsigned omitted;
};

static int add(const struct tree_member *m, void *userdata)
{
	struct listing *l = userdata;
	_cleanup_(freep) char *command = NULL;
	struct proc_stat st;
	json_t *item;

	if (json_array_size(l->items) >= ITEMS_MAX) {
		l->omitted++;
		return 0;
	}
	if (proc_stat_read(m->pid, &st) < 0)
		return 0;
	command = member_command(m->pid);
	item = json_pack("{s:i, s:i, s:i, s:i}", "pid", (int)st.pid, "ppid", (int)st.ppid, "pgid",
			 (int)st.pgid, "threads", (int)st.threads);
	json_object_set_new(item, "state", json_stringn(&st.state, 1));
	json_object_set_new(item, "comm", json_bytes(st.comm, strlen(st.comm)));
	json_object_set_new(item, "command", json_string(command ? command : st.comm));
	json_array_append_new(l->items, item);
	return 0;
}

int session_tree_route(struct request *rq, void *context, struct error *err)
{
	struct listing l = { 0 };
	struct session *s;
	json_t *o;
	int r = request_session(rq, context, &s, err);

	if (r < 0)
		return r;
	l.items = json_array();
	if (session_tree_alive(s)) {
		r = members_each(s, add, &l);
		if (r < 0) {
			json_decref(l.items);
			return error_set_errno(err, ERROR_INTERNAL, r, "list the processes of %s",
					       s->id);
		}
	}
	o = json_pack("{s:o}", "items", l.items);
	if (l.omitted > 0)
		json_object_set_new(o, "omitted", json_integer(l.omitted));
	return request_reply_json(rq, 200, o);
}
