/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/members.h"
#include "core/proc.h"
#include "core/summary.h"
#include <string.h>

#define CMDLINE_MAX 4096U
#define SUMMARY_MAX 1024U
#define ARGS_MAX    256U

/* A session started from inside another is not part of it. */
static bool is_mark(uint64_t mark, void *userdata)
{
	const struct engine *e = userdata;

	for (const struct session *s = e->first; s; s = s->newer)
		if (word_load(&s->words->mark) == mark)
			return true;
	return false;
}

int members_each(const struct session *s, tree_fn fn, void *userdata)
{
	struct tree_filter filter = { .excluded = is_mark, .userdata = s->engine };
	struct tree t = {
		.mark = word_load(&s->words->mark),
		.cgroup_dir = s->engine->daemon_fds[DAEMON_FD_CGROUP],
		.cgroup_leaf = (uint32_t)word_load(&s->words->cgroup),
		.reaper = (pid_t)word_load(&s->engine->daemon->keeper_pid),
	};

	slot_id(s->words, t.session);
	return tree_each(&t, 1, &filter, fn, userdata);
}

static char *summary_of(char *bytes, size_t n)
{
	char *argv[ARGS_MAX], *summary = NULL;
	size_t argc = 0;

	bytes[n] = 0;
	for (size_t at = 0; at < n && argc < ARGS_MAX; at += strlen(bytes + at) + 1)
		argv[argc++] = bytes + at;
	return summary_make(argv, argc, SUMMARY_MAX, &summary) < 0 ? NULL : summary;
}

char *member_command(pid_t pid)
{
	char bytes[CMDLINE_MAX];
	struct proc_stat st;
	size_t n = 0;

	if (proc_arguments(pid, bytes, sizeof(bytes) - 1, &n) >= 0 && n > 0)
		return summary_of(bytes, n);
	return proc_stat_read(pid, &st) < 0 ? NULL : strdup(st.comm);
}
