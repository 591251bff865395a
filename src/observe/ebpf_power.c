/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/ebpf_power.h"
#include "base/fd.h"
#include <errno.h>
#include <string.h>

void ebpf_power_init(struct ebpf_power *p)
{
	*p = (struct ebpf_power){ .helper.sock = -1 };
	ebpf_kernel_init(&p->kernel);
}

void ebpf_power_done(struct ebpf_power *p)
{
	ebpf_kernel_done(&p->kernel);
	fd_close(p->helper.sock);
	ebpf_power_init(p);
}

/* --- loading -----------------------------------------------------------------------------------
 */

static int load_by_helper(struct ebpf_power *p, struct error *e)
{
	struct helper_request rq = { .type = HELPER_LOAD };
	struct helper_reply reply;
	int r = helper_start(&p->helper, e);

	if (r < 0)
		return r;
	r = helper_ask(&p->helper, &rq, -1, p->kernel.fds, EBPF_SHARED, &reply);
	if (r >= 0)
		r = ebpf_kernel_open(&p->kernel);
	else if (r == -EPIPE)
		(void)error_set(e, ERROR_UNAVAILABLE, HELPER_PROGRAM " ended, or does not answer");
	else if (r == -EPERM)
		(void)helper_refuse(e);
	else
		(void)error_set(e, ERROR_UNAVAILABLE, "%s", reply.reason);
	if (r < 0)
		ebpf_power_done(p);
	return r;
}

int ebpf_refuse_everything(struct error *e)
{
	return error_set(e, ERROR_UNAVAILABLE,
			 "what other users' processes do is told to root only: run the daemon as "
			 "root, or observe your own sessions (launched-tree)");
}

int ebpf_power_load(struct ebpf_power *p, bool everything, struct error *e)
{
	static const struct owner anybody = { 0 };
	int r = ebpf_kernel_load(&p->kernel, &anybody, e);

	if (r != -EPERM)
		return r;
	return everything ? ebpf_refuse_everything(e) : load_by_helper(p, e);
}

/* --- what is done to what was loaded -----------------------------------------------------------
 */

static int ask(struct ebpf_power *p, struct helper_request *rq, int fd)
{
	return helper_ask(&p->helper, rq, fd, NULL, 0, NULL);
}

bool ebpf_power_is_attached(const struct ebpf_power *p, unsigned i)
{
	return ebpf_power_is_lent(p) ? (p->attached & 1ULL << i) != 0
				     : p->kernel.fds[EBPF_LINK + i] >= 0;
}

int ebpf_power_attach(struct ebpf_power *p, unsigned i, int cgroup_dir)
{
	struct helper_request rq = { .type = HELPER_ATTACH, .index = i };
	int r;

	if (!ebpf_power_is_lent(p))
		return ebpf_kernel_attach(&p->kernel, i, cgroup_dir);
	r = ask(p, &rq, ebpf_need_of(i) == EBPF_NEED_SOCKETS ? cgroup_dir : -1);
	if (r >= 0)
		p->attached |= 1ULL << i;
	return r;
}

static void detach_others(struct ebpf_power *p)
{
	struct helper_request rq = { .type = HELPER_DETACH, .id = p->attached };

	helper_tell(&p->helper, &rq);
}

void ebpf_power_detach(struct ebpf_power *p, unsigned i)
{
	int *link = &p->kernel.fds[EBPF_LINK + i];

	*link = fd_close(*link);
	p->attached &= ~(1ULL << i);
	if (ebpf_power_is_lent(p))
		detach_others(p);
}

int ebpf_power_tag(struct ebpf_power *p, int pidfd, const struct tag *tag)
{
	struct helper_request rq = { .type = HELPER_TAG,
				     .session = tag->session,
				     .generation = tag->generation };

	return ebpf_power_is_lent(p) ? ask(p, &rq, pidfd) : ebpf_kernel_tag(&p->kernel, pidfd, tag);
}

int ebpf_power_watch(struct ebpf_power *p, int dir, uint64_t id, const struct tag *tag)
{
	struct helper_request rq = { .type = HELPER_WATCH,
				     .session = tag->session,
				     .generation = tag->generation };

	return ebpf_power_is_lent(p) ? ask(p, &rq, dir) : ebpf_kernel_watch(&p->kernel, id, tag);
}

void ebpf_power_unwatch(struct ebpf_power *p, uint64_t id)
{
	struct helper_request rq = { .type = HELPER_UNWATCH, .id = id };

	if (ebpf_power_is_lent(p))
		helper_tell(&p->helper, &rq);
	else
		(void)ebpf_kernel_unwatch(&p->kernel, id);
}

void ebpf_power_settle(struct ebpf_power *p)
{
	struct helper_request rq = { .type = HELPER_SETTLE };

	if (!ebpf_power_is_lent(p)) {
		ebpf_kernel_settle(&p->kernel);
		return;
	}
	detach_others(p);
	helper_tell(&p->helper, &rq);
}

void ebpf_power_sweep(struct ebpf_power *p, bool now)
{
	struct helper_request rq = { .type = HELPER_SWEEP };

	if (!ebpf_power_is_lent(p))
		(void)ebpf_run_sweep(p->kernel.fds[EBPF_SWEEP], SWEEP_FILES);
	else if (now)
		(void)ask(p, &rq, -1);
	else
		helper_tell(&p->helper, &rq);
}
