/* SPDX-License-Identifier: Apache-2.0 */
#include "core/scan.h"
#include "base/cleanup.h"
#include "core/cgroup.h"
#include "core/proc.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROOM    256U
#define LINEAGE_MAX   128U                  /* generations without a mark */
#define CORPSE_FACTOR 0x9e3779b97f4a7c15ULL /* odd, without a pattern */
#define INIT_PID      1

void scan_init(struct scan *s, const struct tree *trees, size_t n, const struct tree_filter *filter)
{
	*s = (struct scan){ .trees = trees, .n_trees = n, .filter = filter, .self = getpid() };
}

void scan_done(struct scan *s)
{
	free(s->entries);
	free(s->members);
	s->entries = NULL;
	s->members = NULL;
}

/* Makes room for one more. The kernel's highest pid is the limit. */
static int grow(void **array, size_t n, size_t *max, size_t size)
{
	size_t want = *max > 0 ? *max * 2 : FIRST_ROOM;
	void *larger;

	if (n < *max)
		return 0;
	larger = reallocarray(*array, want, size);
	if (!larger)
		return -ENOMEM;
	*array = larger;
	*max = want;
	return 0;
}

static struct scan_entry *find_entry(const struct scan *s, pid_t pid)
{
	size_t low = 0, high = s->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->entries[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n_entries && s->entries[low].pid == pid ? &s->entries[low] : NULL;
}

/* Adds a member, unless it has ended: then `*ret_alive` is false. */
static int add_member(struct scan *s, uint32_t tree, pid_t pid, unsigned how, bool *ret_alive)
{
	struct tree_member *m;
	struct proc_stat stat;
	int r;

	*ret_alive = false;
	r = proc_stat_read(pid, &stat);
	if (r == -ESRCH)
		s->doubtful = true;
	if (r < 0)
		return 0;
	if (proc_stat_dead(&stat)) {
		s->corpses += ((uint64_t)pid << 40 ^ stat.start) * CORPSE_FACTOR;
		return 0;
	}
	if (how == TREE_LEADER && stat.ppid != s->self)
		return 0;
	r = grow((void **)&s->members, s->n_members, &s->max_members, sizeof(*s->members));
	if (r < 0)
		return r;
	m = &s->members[s->n_members++];
	*m = (struct tree_member){
		.tree = tree,
		.pid = pid,
		.how = how,
		.state = stat.state,
		.exiting = proc_stat_exiting(&stat),
	};
	*ret_alive = true;
	return s->found ? s->found(m, s->userdata) : 0;
}

struct leaf_look {
	struct scan *s;
	uint32_t tree;
};

static int look_at_inmate(pid_t pid, void *userdata)
{
	struct leaf_look *look = userdata;
	bool alive;

	if (pid == look->s->self || pid == INIT_PID)
		return 0;
	return add_member(look->s, look->tree, pid, TREE_CGROUP, &alive);
}

static int compare_members(const void *a, const void *b)
{
	const struct tree_member *left = a, *right = b;

	return (left->pid > right->pid) - (left->pid < right->pid);
}

/* In the order of their pids, each once. */
static void sort_members(struct scan *s)
{
	size_t i, n = 0;

	if (s->n_members == 0)
		return;
	qsort(s->members, s->n_members, sizeof(*s->members), compare_members);
	for (i = 0; i < s->n_members; i++) {
		if (n == 0 || s->members[n - 1].pid != s->members[i].pid)
			s->members[n++] = s->members[i];
	}
	s->n_members = n;
}

static int look_at_cgroups(struct scan *s)
{
	size_t i;
	int r;

	for (i = 0; i < s->n_trees; i++) {
		const struct tree *t = &s->trees[i];
		struct leaf_look look = { s, (uint32_t)i };

		if (t->cgroup_dir < 0 || t->cgroup_leaf == 0)
			continue;
		r = cgroup_leaf_each_pid(t->cgroup_dir, t->cgroup_leaf, look_at_inmate, &look);
		if (r != 0 && r != -ENOENT)
			return r;
	}
	sort_members(s);
	return 0;
}

static bool is_excluded(const struct scan *s, uint64_t mark)
{
	return mark != 0 && s->filter && s->filter->excluded &&
	       s->filter->excluded(mark, s->filter->userdata);
}

/* The tree that a process outside of the cgroups belongs to by itself. */
static uint32_t tree_of(const struct scan *s, pid_t pid, uint64_t mark, unsigned *ret_how)
{
	size_t i;

	for (i = 0; mark != 0 && i < s->n_trees; i++) {
		if (s->trees[i].mark == mark) {
			*ret_how = TREE_MARK;
			return (uint32_t)i;
		}
	}
	for (i = 0; i < s->n_trees; i++) {
		if (s->trees[i].leader == pid) {
			*ret_how = TREE_LEADER;
			return (uint32_t)i;
		}
	}
	return is_excluded(s, mark) ? SCAN_BARRIER : SCAN_FREE;
}

struct proc_look {
	struct scan *s;
	size_t inmate, n_inmates; /* those found in cgroups stand first, by pid */
};

static int look_at_process(pid_t pid, void *userdata)
{
	struct proc_look *look = userdata;
	struct scan *s = look->s;
	struct scan_entry entry = { .pid = pid, .tree = SCAN_BARRIER };
	unsigned how = 0;
	uint64_t mark = 0;
	bool alive = true;
	int r;

	if (pid != s->self && pid != INIT_PID) {
		r = proc_mark(pid, &mark);
		if (r == -ESRCH) {
			s->doubtful = true;
			return 0;
		}
		while (look->inmate < look->n_inmates && s->members[look->inmate].pid < pid)
			look->inmate++;
		if (look->inmate < look->n_inmates && s->members[look->inmate].pid == pid)
			entry.tree = (uint32_t)s->members[look->inmate].tree;
		else
			entry.tree = tree_of(s, pid, mark, &how);
	}
	if (how != 0) {
		r = add_member(s, entry.tree, pid, how, &alive);
		if (r != 0)
			return r;
	}
	if (!alive)
		entry.tree = how == TREE_LEADER ? SCAN_FREE : SCAN_DEAD;
	r = grow((void **)&s->entries, s->n_entries, &s->max_entries, sizeof(*s->entries));
	if (r < 0)
		return r;
	s->entries[s->n_entries++] = entry;
	return 0;
}

/* --- orphans ---------------------------------------------------------------------------------- */

struct orphan {
	struct proc_stat stat;
	char session[TREE_SESSION_MAX];
	bool unknown; /* it had or will have an environment, only not now */
};

/* The environment goes at the beginning of an end, long before the process does, and changes with
 * an execve: none is seen in between. What was over at the second look may have come to be since.
 */
static int orphan_read(pid_t pid, struct orphan *ret)
{
	int r, found, look;

	ret->unknown = false;
	for (look = 0; look < 2; look++) {
		found = proc_environ_get(pid, TREE_VARIABLE, ret->session, sizeof(ret->session));
		r = proc_stat_read(pid, &ret->stat);
		if (found >= 0 || r < 0)
			return r;
		ret->session[0] = '\0';
		if (found != -ENODATA && found != -EACCES)
			return 0;
		ret->unknown = (ret->stat.flags & PROC_EXITING) || proc_stat_execing(&ret->stat);
		if (ret->unknown)
			return 0;
	}
	return 0;
}

static bool is_of_reaper(const struct tree *t, const struct orphan *o)
{
	return t->reaper != 0 && o->stat.ppid == t->reaper && o->stat.pid != t->spared;
}

/* A number is that of a POSIX session as long as one process is in it; the leader still has it. */
static bool owns(const struct tree *t, const struct orphan *o)
{
	return is_of_reaper(t, o) &&
	       (t->all_orphans || (t->leader != 0 && o->stat.session == t->leader) ||
		(t->session[0] != '\0' && strcmp(o->session, t->session) == 0));
}

bool tree_may_have_orphan(const struct tree *t, pid_t pid)
{
	struct orphan o;

	return orphan_read(pid, &o) >= 0 && !proc_stat_dead(&o.stat) &&
	       (owns(t, &o) || (o.unknown && is_of_reaper(t, &o)));
}

static int look_at_orphan(pid_t pid, void *userdata)
{
	struct scan *s = userdata;
	struct scan_entry *entry = find_entry(s, pid);
	struct orphan orphan;
	bool alive;
	size_t i;
	int r;

	if (!entry || entry->tree != SCAN_FREE)
		return 0;
	if (orphan_read(pid, &orphan) < 0 || proc_stat_dead(&orphan.stat)) {
		s->doubtful = true; /* it is too late to ask whose it was */
		return 0;
	}
	for (i = 0; i < s->n_trees; i++) {
		s->unknown |= orphan.unknown && is_of_reaper(&s->trees[i], &orphan);
		if (!owns(&s->trees[i], &orphan))
			continue;
		r = add_member(s, (uint32_t)i, pid, TREE_ORPHAN, &alive);
		entry->tree = alive ? (uint32_t)i : SCAN_DEAD;
		return r;
	}
	return 0;
}

/* After all others: whose parent is found ended has become the reaper's child before. */
static int look_at_orphans(struct scan *s)
{
	pid_t reaper = 0;
	size_t i;
	int r;

	for (i = 0; i < s->n_trees && reaper == 0; i++)
		reaper = s->trees[i].reaper;
	if (reaper == 0)
		return 0;
	r = proc_each_child_of(reaper, look_at_orphan, s);
	return r < 0 && r != -ENOMEM ? 0 : r; /* where it cannot be read there are none to see */
}

/* --- descent ---------------------------------------------------------------------------------- */

/* What is of no tree so far gets its parent. */
static void look_at_parents(struct scan *s)
{
	struct proc_stat stat;
	size_t i;

	for (i = 0; i < s->n_entries; i++) {
		struct scan_entry *entry = &s->entries[i];

		if (entry->tree != SCAN_FREE)
			continue;
		if (proc_stat_read(entry->pid, &stat) < 0 || proc_stat_dead(&stat))
			entry->tree = SCAN_DEAD;
		else
			entry->parent = stat.ppid;
	}
}

/* One pass takes in children, and grandchildren too as far as their pids are higher. */
static int look_at_descent(struct scan *s, bool *ret_changed)
{
	size_t i;
	bool alive;
	int r;

	*ret_changed = false;
	for (i = 0; i < s->n_entries; i++) {
		struct scan_entry *entry = &s->entries[i], *parent;

		if (entry->tree != SCAN_FREE)
			continue;
		parent = find_entry(s, entry->parent);
		if (!parent || parent->tree >= s->n_trees)
			continue;
		r = add_member(s, parent->tree, entry->pid, TREE_DESCENT, &alive);
		if (r != 0)
			return r;
		entry->tree = alive ? parent->tree : SCAN_DEAD;
		*ret_changed = true;
	}
	return 0;
}

int scan_look(struct scan *s)
{
	struct proc_look look = { .s = s };
	uint64_t corpses = s->corpses;
	pid_t before = 0, after = 1; /* when it cannot be known */
	bool changed = true;
	int r;

	s->n_entries = 0;
	s->n_members = 0;
	s->corpses = 0;
	s->doubtful = false;
	s->unknown = false;
	(void)proc_last_pid(&before);
	r = look_at_cgroups(s);
	if (r != 0)
		return r;
	look.n_inmates = s->n_members;
	r = proc_each(look_at_process, &look);
	if (r == 0)
		r = look_at_orphans(s);
	if (r != 0)
		return r;
	(void)proc_last_pid(&after);
	if (after == before)
		s->doubtful = false; /* nothing was forked */
	else
		s->doubtful |= after < before || s->corpses != corpses;
	if (s->n_members == 0 || s->shallow)
		return 0;
	look_at_parents(s);
	while (changed) {
		r = look_at_descent(s, &changed);
		if (r != 0)
			return r;
	}
	return 0;
}

unsigned scan_count(const struct scan *s, size_t tree)
{
	unsigned count = 0;
	size_t i;

	for (i = 0; i < s->n_members; i++)
		count += s->members[i].tree == tree;
	return count;
}

static bool bears_mark(const struct tree *t, pid_t pid)
{
	uint64_t mark;

	return t->mark != 0 && proc_mark(pid, &mark) == 0 && mark == t->mark;
}

static bool is_inmate(const struct tree *t, pid_t pid)
{
	bool inside;

	return t->cgroup_dir >= 0 && t->cgroup_leaf != 0 &&
	       cgroup_leaf_has(t->cgroup_dir, t->cgroup_leaf, pid, &inside) == 0 && inside;
}

/* A leader is a child of this process that was not reaped: its pid cannot be another's. */
static bool is_leader(const struct scan *s, const struct tree *t, pid_t pid)
{
	struct proc_stat stat;

	return t->leader == pid && proc_stat_read(pid, &stat) == 0 && stat.ppid == s->self;
}

/* The parent tells most of them apart at once, without a look at the environment. */
static bool is_orphan(const struct tree *t, pid_t pid)
{
	struct proc_stat stat;
	struct orphan o;

	return t->reaper != 0 && proc_stat_read(pid, &stat) == 0 && stat.ppid == t->reaper &&
	       orphan_read(pid, &o) >= 0 && owns(t, &o);
}

/* From a process up to the first ancestor that is a member by itself. */
static bool climb(const struct scan *s, const struct tree *t, pid_t chain[LINEAGE_MAX], size_t *n)
{
	struct proc_stat stat;
	uint64_t mark;
	size_t i;

	for (i = 0; i + 1 < LINEAGE_MAX; i++) {
		if (proc_stat_read(chain[i], &stat) < 0)
			return false;
		if (stat.ppid <= INIT_PID || stat.ppid == s->self)
			return false;
		chain[i + 1] = stat.ppid;
		*n = i + 1;
		if (bears_mark(t, stat.ppid) || is_inmate(t, stat.ppid) ||
		    is_leader(s, t, stat.ppid) || is_orphan(t, stat.ppid))
			return true;
		if (proc_mark(stat.ppid, &mark) < 0 || is_excluded(s, mark))
			return false;
	}
	return false;
}

/* A pid on the way up may have changed its owner. So each link is read twice, the second time from
 * the top down: the lowest process cannot be replaced, its parent was the same at both times and so
 * at all times in between, when the link above it was read, and so on. */
static bool descends(const struct scan *s, const struct tree *t, pid_t pid)
{
	pid_t chain[LINEAGE_MAX] = { pid };
	struct proc_stat stat;
	size_t n = 0;

	if (!climb(s, t, chain, &n))
		return false;
	while (n-- > 0) {
		if (proc_stat_read(chain[n], &stat) < 0 || stat.ppid != chain[n + 1])
			return false;
	}
	return true;
}

bool scan_confirm(const struct scan *s, const struct tree_member *m)
{
	const struct tree *t = &s->trees[m->tree];

	if (m->pid <= INIT_PID || m->pid == s->self)
		return false;
	return bears_mark(t, m->pid) || ((m->how & TREE_CGROUP) && is_inmate(t, m->pid)) ||
	       ((m->how & TREE_LEADER) && is_leader(s, t, m->pid)) ||
	       ((m->how & TREE_ORPHAN) && is_orphan(t, m->pid)) ||
	       ((m->how & TREE_DESCENT) && descends(s, t, m->pid));
}
