/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/members.h"
#include "core/proc.h"
#include "core/summary.h"
#include <string.h>
#include <time.h>

#define CMDLINE_MAX 4096U
#define SUMMARY_MAX 1024U
#define LOOKS_MAX   10U /* 0.1 ms and twice as much each time: 0.1 s in all */
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
	struct tree_filter filter = { is_mark, s->engine };
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

static bool has_arguments(pid_t pid, char bytes[CMDLINE_MAX], size_t *ret_n)
{
	return proc_cmdline(pid, bytes, CMDLINE_MAX - 1, ret_n) >= 0 && *ret_n > 0;
}

char *member_command(pid_t pid)
{
	struct timespec pause = { .tv_nsec = 100000 };
	char bytes[CMDLINE_MAX];
	struct proc_stat st;
	size_t n = 0;

	for (unsigned look = 0; look < LOOKS_MAX; look++, pause.tv_nsec *= 2) {
		if (has_arguments(pid, bytes, &n))
			return summary_of(bytes, n);
		if (proc_stat_read(pid, &st) < 0)
			return NULL;
		if (!proc_stat_execing(&st))
			break;
		nanosleep(&pause, NULL);
	}
	/* The execve may have come to its end between the two looks. */
	return has_arguments(pid, bytes, &n) ? summary_of(bytes, n) : strdup(st.comm);
}
