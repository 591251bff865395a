/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - the processes of a session, now. */
#include "core/tree.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/text.h"
#include "core/proc.h"
#include "core/summary.h"
#include <string.h>

#define ITEMS_MAX   4096U
#define COMMAND_MAX 4096U

struct listing {
	json_t *items;
	unsigned omitted;
};

static char *command_of(pid_t pid)
{
	char bytes[COMMAND_MAX], *argv[256], *summary = NULL;
	size_t n = 0, argc = 0;

	if (proc_cmdline(pid, bytes, sizeof(bytes) - 1, &n) < 0 || n == 0)
		return NULL;
	bytes[n] = 0;
	for (size_t at = 0; at < n && argc < ARRAY_SIZE(argv); at += strlen(bytes + at) + 1)
		argv[argc++] = bytes + at;
	return summary_make(argv, argc, 1024, &summary) < 0 ? NULL : summary;
}

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
	command = command_of(m->pid);
	item = json_pack("{s:i, s:i, s:i, s:i}", "pid", (int)st.pid, "ppid", (int)st.ppid, "pgid",
			 (int)st.pgid, "threads", (int)st.threads);
	json_object_set_new(item, "state", json_stringn(&st.state, 1));
	json_object_set_new(item, "comm", json_bytes(st.comm, strlen(st.comm)));
	json_object_set_new(item, "command", json_string(command ? command : st.comm));
	json_array_append_new(l->items, item);
	return 0;
}

struct marks {
	struct engine *e;
};

static bool is_mark(uint64_t mark, void *userdata)
{
	struct engine *e = userdata;

	for (struct session *s = e->first; s; s = s->newer)
		if (word_load(&s->words->mark) == mark)
			return true;
	return false;
}

int session_tree_route(struct request *rq, void *context, struct error *err)
{
	struct engine *e = context;
	struct tree_filter filter = { is_mark, e };
	struct listing l = { 0 };
	struct session *s;
	struct tree t;
	json_t *o;
	int r = request_session(rq, e, &s, err);

	if (r < 0)
		return r;
	t = (struct tree){
		.mark = word_load(&s->words->mark),
		.cgroup_dir = e->daemon_fds[DAEMON_FD_CGROUP],
		.cgroup_leaf = (uint32_t)word_load(&s->words->cgroup),
	};
	l.items = json_array();
	if (session_tree_alive(s)) {
		r = tree_each(&t, 1, &filter, add, &l);
		if (r < 0) {
			json_decref(l.items);
			return error_set_errno(err, ERROR_INTERNAL, r, "list the processes of %s", s->id);
		}
	}
	o = json_pack("{s:o}", "items", l.items);
	if (l.omitted > 0)
		json_object_set_new(o, "omitted", json_integer(l.omitted));
	return request_reply_json(rq, 200, o);
}
