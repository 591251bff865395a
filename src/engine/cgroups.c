/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups.c - leaves made ahead of time and removed at leisure: both cost more than a spawn should.
 */
#include "base/log.h"
#include "core/cgroup.h"
#include "engine/session.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_MS 200

static int dir_of(const struct engine *e)
{
	return e->daemon_fds[DAEMON_FD_CGROUP];
}

static uint32_t make_leaf(struct engine *e)
{
	for (int tries = 0; tries < 100; tries++) {
		uint32_t leaf = (uint32_t)word_load(&e->daemon->cgroup_next) + 1;
		int r;

		word_store(&e->daemon->cgroup_next, leaf);
		r = cgroup_leaf_make(dir_of(e), leaf);
		if (r >= 0)
			return leaf;
		if (r != -EEXIST) {
			log_warn("cannot make a cgroup: %s", strerror(-r));
			return 0;
		}
	}
	return 0;
}

static void refill(uv_idle_t *idle)
{
	struct engine *e = idle->data;
	uint32_t leaf = e->cgroups.n < CGROUP_POOL ? make_leaf(e) : 0;

	if (leaf != 0)
		e->cgroups.leaves[e->cgroups.n++] = leaf;
	if (leaf == 0 || e->cgroups.n == CGROUP_POOL)
		uv_idle_stop(idle);
}

/* The leaves of sessions, ascending. */
struct used_leaves {
	struct engine *e;
	uint32_t *leaves;
	size_t n;
};

static int compare_leaves(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int remove_left(uint32_t leaf, void *userdata)
{
	const struct used_leaves *used = userdata;

	if (!bsearch(&leaf, used->leaves, used->n, sizeof(leaf), compare_leaves))
		cgroups_drop(used->e, leaf);
	return 0;
}

/* What an engine before had in its pool, or was about to remove. */
static void remove_all_left(struct engine *e)
{
	struct used_leaves used = { .e = e };

	used.leaves = calloc(e->n_sessions + 1, sizeof(*used.leaves));
	if (!used.leaves)
		return; /* found again at the next start of an engine */
	for (struct session *s = e->first; s && used.n < e->n_sessions; s = s->newer)
		used.leaves[used.n++] = (uint32_t)word_load(&s->words->cgroup);
	qsort(used.leaves, used.n, sizeof(*used.leaves), compare_leaves);
	cgroup_leaf_each(dir_of(e), remove_left, &used);
	free(used.leaves);
}

static void sweep(uv_timer_t *timer)
{
	struct engine *e = timer->data;
	struct cgroup_pool *p = &e->cgroups;
	unsigned kept = 0;

	for (unsigned i = 0; i < p->n_doomed; i++)
		if (cgroup_leaf_remove(dir_of(e), p->doomed[i]) == -EBUSY)
			p->doomed[kept++] = p->doomed[i];
	p->n_doomed = kept;
	if (kept > 0)
		uv_timer_start(timer, sweep, SWEEP_MS, 0);
}

void cgroups_init(struct engine *e)
{
	struct cgroup_pool *p = &e->cgroups;

	uv_idle_init(&e->loop, &p->refill);
	uv_timer_init(&e->loop, &p->sweep);
	p->refill.data = p->sweep.data = e;
	if (dir_of(e) < 0)
		return;
	remove_all_left(e);
	uv_idle_start(&p->refill, refill);
}

uint32_t cgroups_take(struct engine *e, int *ret_dir)
{
	struct cgroup_pool *p = &e->cgroups;
	uint32_t leaf;
	int fd;

	*ret_dir = -1;
	if (dir_of(e) < 0)
		return 0;
	leaf = p->n > 0 ? p->leaves[--p->n] : make_leaf(e);
	uv_idle_start(&p->refill, refill);
	if (leaf == 0)
		return 0;
	fd = cgroup_leaf_open(dir_of(e), leaf);
	if (fd < 0) {
		log_warn("cannot open cgroup s%u: %s", leaf, strerror(-fd));
		cgroups_drop(e, leaf);
		return 0;
	}
	*ret_dir = fd;
	return leaf;
}

void cgroups_drop(struct engine *e, uint32_t leaf)
{
	struct cgroup_pool *p = &e->cgroups;

	if (leaf == 0 || dir_of(e) < 0)
		return;
	if (p->n_doomed == p->max_doomed) {
		unsigned max = p->max_doomed ? 2 * p->max_doomed : 64;
		uint32_t *grown = max <= 2 * CONTROL_SLOTS
					  ? reallocarray(p->doomed, max, sizeof(*grown))
					  : NULL;

		if (!grown)
			return; /* found again at the next start of an engine */
		p->doomed = grown;
		p->max_doomed = max;
	}
	p->doomed[p->n_doomed++] = leaf;
	if (!uv_is_active((uv_handle_t *)&p->sweep))
		uv_timer_start(&p->sweep, sweep, SWEEP_MS, 0);
}

void cgroups_done(struct engine *e)
{
	for (unsigned i = 0; i < e->cgroups.n; i++)
		cgroup_leaf_remove(dir_of(e), e->cgroups.leaves[i]);
	for (unsigned i = 0; i < e->cgroups.n_doomed; i++)
		cgroup_leaf_remove(dir_of(e), e->cgroups.doomed[i]);
	free(e->cgroups.doomed);
}
