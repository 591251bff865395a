/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/threads.h"
#include "base/cleanup.h"
#include "core/proc.h"
#include <errno.h>

int threads_born(struct pidset *s, pid_t pid)
{
	int r = pidset_add(s, pid);

	if (r == 0)
		*pidset_at(s, pid) = (struct pid_place){ .pid = pid, .threads = 1 };
	return r;
}

void threads_more(struct pidset *s, pid_t pid)
{
	struct pid_place *p = pidset_at(s, pid);

	if (p && p->threads > 0)
		p->threads++;
}

void threads_executed(struct pidset *s, pid_t pid)
{
	struct pid_place *p = pidset_at(s, pid);

	if (p)
		p->code = 0;
}

static void set(struct pidset *s, pid_t pid, int32_t threads, int code)
{
	if (pidset_add(s, pid) == 0)
		*pidset_at(s, pid) = (struct pid_place){ pid, threads, code };
}

/* The process of a thread that has ended, by /proc. What is told of a thread's end may come before
 * it is seen there, but its process has no other one then. */
static enum threads_news look(pid_t pid, bool first)
{
	struct proc_stat stat;
	int r = proc_stat_read(pid, &stat);

	if (r == -ESRCH || (r < 0 && first))
		return THREADS_GONE;
	if (r < 0)
		return THREADS_GO_ON;
	if (stat.threads <= 1 && (first || proc_stat_dead(&stat)))
		return THREADS_GONE;
	return first || stat.state == 'Z' ? THREADS_DOUBTED : THREADS_GO_ON;
}

enum threads_news threads_ended(struct pidset *s, pid_t pid, pid_t tid, int *code)
{
	struct pid_place *p = pidset_at(s, pid);
	enum threads_news news;

	if (p && p->threads == THREADS_TOLD)
		return THREADS_GO_ON;
	if (p && *code == 0)
		*code = p->code;
	if (p)
		p->code = *code;
	if (p && p->threads > 0) {
		if (--p->threads > 0)
			return THREADS_GO_ON;
		p->threads = THREADS_TOLD;
		return THREADS_ENDED;
	}
	news = look(pid, tid == pid);
	if (news != THREADS_GO_ON)
		set(s, pid, news == THREADS_GONE ? THREADS_TOLD : THREADS_DOUBT, *code);
	return news;
}

pid_t threads_next_gone(struct pidset *s, size_t *at, size_t *left)
{
	for (; *at < s->capacity; ++*at) {
		struct pid_place *p = &s->places[*at];

		if (p->pid == 0 || p->threads != THREADS_DOUBT)
			continue;
		if (look(p->pid, false) == THREADS_GONE) {
			p->threads = THREADS_TOLD;
			return p->pid;
		}
		++*left;
	}
	return 0;
}

void threads_lost(struct pidset *s)
{
	for (size_t i = 0; i < s->capacity; i++)
		if (s->places[i].threads > 0)
			s->places[i].threads = THREADS_UNKNOWN;
}
