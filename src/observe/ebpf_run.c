/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/ebpf_run.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/random.h"
#include "core/tree.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif

static bool wants_calls(const struct backend_run *run)
{
	return run_wants(run, REEVE_FILE) || run_wants(run, REEVE_NETWORK);
}

/* --- tags --------------------------------------------------------------------------------------
 */

static int tag_task(const struct ebpf_run *r, pid_t tid)
{
	struct tag tag = { r->place, r->generation };
	_cleanup_(closep) int pidfd = pidfd_open(tid, PIDFD_THREAD);

	/* An older kernel knows processes only: then their first threads are seen, their ends, and
	 * all that is forked from now on. */
	if (pidfd < 0 && errno == EINVAL)
		pidfd = pidfd_open(tid, 0);
	if (pidfd < 0)
		return -errno;
	return ebpf_power_tag(&r->b->power, pidfd, &tag);
}

static int tag_process(pid_t pid, const struct ebpf_run *r)
{
	char path[64];
	struct dirent *d;
	DIR *dir;
	int result = tag_task(r, pid);

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return result;
	while ((d = readdir(dir))) {
		int tid = atoi(d->d_name);

		if (tid > 0 && tid != pid)
			(void)tag_task(r, tid);
	}
	(void)closedir(dir);
	return result;
}

static int tag_member(const struct tree_member *m, void *userdata)
{
	(void)tag_process(m->pid, userdata);
	return 0;
}

int ebpf_run_tag(struct ebpf_run *r)
{
	const struct backend_target *t = &r->run->target;
	struct tree tree = {
		.mark = t->mark,
		.cgroup_dir = t->cgroup_leaf != 0 ? host_cgroup_dir(r->run->host) : -1,
		.cgroup_leaf = t->cgroup_leaf,
		.leader = t->leader,
	};
	int result = 0;

	if (t->leader != 0)
		result = tag_task(r, t->leader);
	if (!t->gated && (t->leader != 0 || t->mark != 0))
		(void)tree_each(&tree, 1, NULL, tag_member, r);
	return result;
}

/* --- the session in the maps -------------------------------------------------------------------
 */

static void enter_cgroup(struct ebpf_run *r)
{
	struct tag tag = { r->place, r->generation };
	int cgroups = host_cgroup_dir(r->run->host);
	_cleanup_(closep) int dir = -1;
	struct stat st;
	char leaf[16];

	if (r->run->target.cgroup_leaf == 0 || cgroups < 0)
		return;
	(void)snprintf(leaf, sizeof(leaf), "s%u", r->run->target.cgroup_leaf);
	dir = openat(cgroups, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0)
		return; /* the tag of the leader is enough */
	if (ebpf_power_watch(&r->b->power, dir, st.st_ino, &tag) >= 0)
		r->cgroup_id = st.st_ino;
}

/* The place of a session that a predecessor began, else a free one; 0 when there is none. */
static uint32_t place_of(const struct ebpf *b, const struct backend_target *t)
{
	for (uint32_t i = 1; t->resume && b->resumed && i < SESSIONS_MAX; i++) {
		if (b->power.kernel.sessions[i].generation != 0 &&
		    b->power.kernel.sessions[i].number == t->session && !b->runs[i])
			return i;
	}
	for (uint32_t i = 1; i < SESSIONS_MAX; i++) {
		if (b->power.kernel.sessions[i].generation == 0)
			return i;
	}
	return 0;
}

static void begin_session(struct ebpf_run *r)
{
	const struct backend_target *t = &r->run->target;
	struct session *s = &r->b->power.kernel.sessions[r->place];

	if (s->generation != 0) {
		r->generation = s->generation;
		return;
	}
	memset(s, 0, sizeof(*s));
	s->number = t->session;
	do
		r->generation = (uint32_t)random_u64();
	while (r->generation == 0);
	s->categories = t->categories;
	s->each = t->detail == DETAIL_EACH;
	__atomic_store_n(&s->generation, r->generation, __ATOMIC_RELEASE);
	if (t->everything)
		r->b->power.kernel.control->everything = r->place;
}

static void end_session(struct ebpf_run *r)
{
	struct session *s = &r->b->power.kernel.sessions[r->place];

	if (r->run->target.everything && r->b->power.kernel.control->everything == r->place)
		r->b->power.kernel.control->everything = 0;
	__atomic_store_n(&s->generation, 0, __ATOMIC_RELEASE);
	if (r->cgroup_id != 0)
		ebpf_power_unwatch(&r->b->power, r->cgroup_id);
}

static void unlink_run(struct ebpf_run *r)
{
	struct ebpf_run **place = &r->b->first;

	while (*place != r)
		place = &(*place)->next;
	*place = r->next;
	r->b->runs[r->place] = NULL;
	r->b->n_calls -= wants_calls(r->run) ? 1 : 0;
}

int ebpf_run_start(struct ebpf *b, struct backend_run *run, struct error *e)
{
	uint32_t place = place_of(b, &run->target);
	bool again = place != 0 && b->power.kernel.sessions[place].generation != 0;
	struct ebpf_run *r;
	int result;

	if (place == 0)
		return error_set(e, ERROR_EXHAUSTED, "ebpf: %u sessions are observed already",
				 SESSIONS_MAX - 1);
	if (run->target.everything && ebpf_power_is_lent(&b->power))
		return ebpf_refuse_everything(e);
	if (run->target.everything && !again && b->power.kernel.control->everything != 0)
		return error_set(e, ERROR_ALREADY_EXISTS,
				 "ebpf: the whole machine is observed already");
	r = calloc(1, sizeof(*r));
	if (!r)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "ebpf");
	r->b = b;
	r->run = run;
	r->place = place;
	r->next = b->first;
	b->first = b->runs[place] = r;
	b->n_calls += wants_calls(run) ? 1 : 0;
	run->state = r;
	run->own_only = ebpf_power_is_lent(&b->power);
	run->tier = b->reader->tier;
	run->refused = b->reader->refused;
	begin_session(r);
	enter_cgroup(r);
	result = ebpf_update_links(b);
	if (result >= 0 && !again)
		result = ebpf_run_tag(r);
	if (result < 0) {
		ebpf_run_stop(r);
		run->state = NULL;
		return ebpf_refuse(e, result, "attaching the BPF programs");
	}
	if (run_wants(run, REEVE_FILE) && ebpf_lacks_functions(b))
		run_missed(run, REEVE_FILE, 1);
	return 0;
}

void ebpf_run_stop(struct ebpf_run *r)
{
	struct ebpf *b = r->b;

	end_session(r);
	unlink_run(r);
	/* Forgets its open files. */
	if (wants_calls(r->run))
		ebpf_power_sweep(&b->power, false);
	(void)ebpf_update_links(b);
	free(r);
	ebpf_leave(b);
}

int ebpf_run_change(struct ebpf_run *r, unsigned categories, enum backend_detail detail)
{
	struct session *s = &r->b->power.kernel.sessions[r->place];

	r->b->n_calls -= wants_calls(r->run) ? 1 : 0;
	r->run->target.categories = categories;
	r->run->target.detail = detail;
	r->b->n_calls += wants_calls(r->run) ? 1 : 0;
	s->each = detail == DETAIL_EACH;
	s->categories = categories;
	return ebpf_update_links(r->b);
}

void ebpf_run_settled(struct ebpf *b)
{
	struct control *control = b->power.kernel.control;

	for (uint32_t i = 1; i < SESSIONS_MAX; i++) {
		if (!b->runs[i])
			__atomic_store_n(&b->power.kernel.sessions[i].generation, 0,
					 __ATOMIC_RELEASE);
	}
	if (control && !b->runs[control->everything])
		control->everything = 0;
	ebpf_power_settle(&b->power);
	(void)ebpf_update_links(b);
}
