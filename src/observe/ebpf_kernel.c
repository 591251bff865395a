/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/ebpf_kernel.h"
#include "base/fd.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void ebpf_kernel_init(struct ebpf_kernel *k)
{
	*k = (struct ebpf_kernel){ 0 };
	memset(k->fds, 0xff, sizeof(k->fds));
}

static void unmap(void *p, size_t size)
{
	if (p)
		(void)munmap(p, size);
}

void ebpf_kernel_done(struct ebpf_kernel *k)
{
	unmap(k->sessions, SESSIONS_MAX * sizeof(*k->sessions));
	unmap(k->control, sizeof(*k->control));
	for (unsigned i = 0; i < N_EBPF_FDS; i++)
		fd_close(k->fds[i]);
	ebpf_kernel_init(k);
}

static int map_shared(int fd, size_t size, void **ret)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

int ebpf_kernel_open(struct ebpf_kernel *k)
{
	void *p;
	int r = map_shared(k->fds[EBPF_SESSIONS], SESSIONS_MAX * sizeof(*k->sessions), &p);

	if (r < 0)
		return r;
	k->sessions = p;
	if (k->fds[EBPF_CONTROL] < 0)
		return 0;
	r = map_shared(k->fds[EBPF_CONTROL], sizeof(*k->control), &p);
	if (r < 0)
		return r;
	k->control = p;
	return ebpf_run_sweep(k->fds[EBPF_SWEEP], SWEEP_IDENTIFY);
}

static int load_tracepoints(struct ebpf_kernel *k, const struct owner *owner, struct error *e)
{
	int r = ebpf_load(k->fds, owner, TIER_TRACEPOINTS, e);

	if (r < 0)
		return r;
	r = ebpf_kernel_open(k);
	return r < 0 ? ebpf_refuse(e, r, "BPF maps") : 0;
}

/* Loads, attaches, makes it fire and sees that it did. They stay attached: somebody is about to use
 * them. */
static int load_functions(struct ebpf_kernel *k, const struct owner *owner, struct error *e)
{
	int r = ebpf_try_function();

	if (r < 0)
		return r;
	r = ebpf_load(k->fds, owner, TIER_FUNCTIONS, e);
	if (r < 0)
		return r;
	r = ebpf_kernel_open(k);
	if (r >= 0)
		r = ebpf_kernel_attach(k, EBPF_PROGRAM_FUNCTIONS - EBPF_PROGRAM, -1);
	return r < 0 ? r : ebpf_functions_prove(k->control);
}

/* So that tests can have either. */
static bool wants_tier(const char *name)
{
	const char *text = secure_getenv("REEVE_EBPF_TIER");

	return !text || strcmp(text, name) == 0;
}

int ebpf_kernel_load(struct ebpf_kernel *k, const struct owner *owner, struct error *e)
{
	struct reader reader = { .tier = TIER_FUNCTIONS };
	uint32_t zero = 0;
	int r = wants_tier("functions") ? load_functions(k, owner, e) : 0;

	if (r < 0 || !wants_tier("functions")) {
		ebpf_kernel_done(k);
		reader = (struct reader){ .tier = TIER_TRACEPOINTS, .refused = r };
		if (!wants_tier("tracepoints"))
			return ebpf_refuse(e, r, "programs at functions of the kernel");
		r = load_tracepoints(k, owner, e);
	}
	if (r >= 0)
		r = ebpf_map_set(k->fds[EBPF_READER], &zero, &reader);
	if (r < 0)
		ebpf_kernel_done(k);
	return r;
}

int ebpf_kernel_attach(struct ebpf_kernel *k, unsigned i, int cgroup_dir)
{
	int link;

	if (k->fds[EBPF_PROGRAM + i] < 0 || k->fds[EBPF_LINK + i] >= 0)
		return 0;
	link = ebpf_attach(k->fds, i, cgroup_dir);
	if (link < 0)
		return link;
	k->fds[EBPF_LINK + i] = link;
	return 0;
}

int ebpf_kernel_tag(const struct ebpf_kernel *k, int pidfd, const struct tag *tag)
{
	return ebpf_map_set(k->fds[EBPF_TAGS], &pidfd, tag);
}

int ebpf_kernel_watch(struct ebpf_kernel *k, uint64_t cgroup, const struct tag *tag)
{
	struct tag before;
	bool again = ebpf_map_get(k->fds[EBPF_BY_CGROUP], &cgroup, &before) >= 0;
	int r = ebpf_map_set(k->fds[EBPF_BY_CGROUP], &cgroup, tag);

	if (r >= 0 && !again)
		k->control->cgroups++;
	return r;
}

int ebpf_kernel_unwatch(struct ebpf_kernel *k, uint64_t cgroup)
{
	int r = ebpf_map_delete(k->fds[EBPF_BY_CGROUP], &cgroup);

	if (r >= 0)
		k->control->cgroups--;
	return r;
}

static bool is_alive(const struct ebpf_kernel *k, const struct tag *tag)
{
	return tag->session < SESSIONS_MAX && tag->generation != 0 &&
	       k->sessions[tag->session].generation == tag->generation;
}

void ebpf_kernel_settle(struct ebpf_kernel *k)
{
	int map = k->fds[EBPF_BY_CGROUP];
	uint64_t key, next;
	uint32_t n = 0;
	int r = ebpf_map_next(map, NULL, &next);

	while (r >= 0) {
		struct tag tag = { 0 };

		key = next;
		r = ebpf_map_next(map, &key, &next);
		if (ebpf_map_get(map, &key, &tag) >= 0 && is_alive(k, &tag))
			n++;
		else
			(void)ebpf_map_delete(map, &key);
	}
	k->control->cgroups = n;
}
