/* SPDX-License-Identifier: Apache-2.0 */
/* What all runs of a host share: loaded, or a predecessor's. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/random.h"
#include "observe/ebpf_run.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

/* --- what outlives this process ----------------------------------------------------------------
 */

#define FUNCTIONS    ((unsigned)(EBPF_PROGRAM_FUNCTIONS - EBPF_PROGRAM))
#define HELPER_PLACE ((unsigned)N_EBPF_FDS) /* the helper's socket, behind the descriptors */

static int *fd_at(struct ebpf *b, unsigned i)
{
	return i == HELPER_PLACE ? &b->power.helper.sock : &b->power.kernel.fds[i];
}

static void name_of(unsigned i, char name[HELD_NAME_MAX])
{
	if (i == HELPER_PLACE)
		(void)snprintf(name, HELD_NAME_MAX, "ebpf%d/helper", RECORD_VERSION);
	else
		ebpf_fd_name(i, name);
}

static void release_all(struct ebpf *b)
{
	char name[HELD_NAME_MAX];

	for (unsigned i = 0; i <= HELPER_PLACE; i++) {
		name_of(i, name);
		host_release(b->host, name);
	}
}

/* The descriptors that a predecessor held; all of them, or none. */
static bool take_over(struct ebpf *b)
{
	char name[HELD_NAME_MAX];
	unsigned needed;

	for (unsigned i = 0; i <= HELPER_PLACE; i++) {
		int fd;

		name_of(i, name);
		fd = host_held(b->host, name);
		*fd_at(b, i) = fd < 0 ? -1 : fd;
	}
	needed = ebpf_power_is_lent(&b->power) ? EBPF_SHARED : EBPF_PROGRAM;
	b->power.helper.number = (uint32_t)random_u64();
	for (unsigned i = 0; i < needed; i++) {
		if (b->power.kernel.fds[i] >= 0)
			continue;
		/* It died when it had given away some of them. */
		release_all(b);
		ebpf_power_done(&b->power);
		return false;
	}
	return true;
}

static int hold_all(struct ebpf *b)
{
	for (unsigned i = 0; i <= HELPER_PLACE; i++) {
		char name[HELD_NAME_MAX];
		int fd = *fd_at(b, i), r;

		name_of(i, name);
		r = fd < 0 ? 0 : host_hold(b->host, name, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- opening and closing -----------------------------------------------------------------------
 */

void ebpf_close(struct host *h, void *shared)
{
	struct ebpf *b = shared;
	struct watch *all[] = { &b->watches[0], &b->watches[1], &b->tick, &b->sweeper, &b->end };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i]->fd >= 0)
			host_unwatch(h, all[i]);
	}
	fd_close(b->tick.fd);
	fd_close(b->sweeper.fd);
	for (unsigned i = 0; i < RINGS; i++)
		ebpf_ring_close(&b->rings[i]);
	if (b->reader)
		(void)munmap(b->reader, sizeof(*b->reader));
	ebpf_power_done(&b->power);
	free(b);
}

static int open_maps(struct ebpf *b)
{
	const int *fds = b->power.kernel.fds;
	void *p = mmap(NULL, sizeof(*b->reader), PROT_READ | PROT_WRITE, MAP_SHARED,
		       fds[EBPF_READER], 0);

	if (p == MAP_FAILED)
		return -errno;
	b->reader = p;
	for (unsigned i = 0; i < RINGS; i++) {
		int r = ebpf_ring_open(&b->rings[i], fds[EBPF_RING_PROCESS + i]);

		if (r < 0)
			return r;
		b->reader->wake_at[i] = b->rings[i].size / 4;
	}
	return 0;
}

static int add_watch(struct host *h, struct watch *w, int fd, void (*ready)(struct watch *),
		     bool edge)
{
	int r;

	if (fd < 0)
		return -errno;
	*w = (struct watch){ fd, ready, edge, 0 };
	r = host_watch(h, w);
	if (r < 0)
		w->fd = -1;
	return r;
}

static void on_end(struct watch *w);

static int open_watches(struct ebpf *b, struct host *h)
{
	const int *fds = b->power.kernel.fds;
	int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int sweeper = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int r = add_watch(h, &b->tick, tick, ebpf_on_tick, false);

	if (r < 0)
		fd_close(tick);
	if (r >= 0)
		r = add_watch(h, &b->sweeper, sweeper, ebpf_on_sweep, false);
	if (b->sweeper.fd < 0)
		fd_close(sweeper);
	/* Only when the kernel wakes us: there is always something while much happens. */
	if (r >= 0)
		r = add_watch(h, &b->watches[0], fds[EBPF_RING_PROCESS], ebpf_on_ring, true);
	if (r >= 0)
		r = add_watch(h, &b->watches[1], fds[EBPF_RING_BULK], ebpf_on_other_ring, true);
	if (r >= 0 && ebpf_power_is_lent(&b->power))
		r = add_watch(h, &b->end, b->power.helper.sock, on_end, false);
	return r;
}

static struct ebpf *make(struct host *h)
{
	struct ebpf *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	ebpf_power_init(&b->power);
	b->tick.fd = b->sweeper.fd = b->watches[0].fd = b->watches[1].fd = b->end.fd = -1;
	b->host = h;
	return b;
}

int ebpf_open(struct host *h, bool everything, struct ebpf **ret, struct error *e)
{
	void **shared = host_shared(h, &backend_ebpf);
	struct ebpf *b = *shared;
	int r;

	if (b && ebpf_look_after_helper(b)) {
		*ret = b;
		return 0;
	}
	b = make(h);
	if (!b)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "ebpf");
	b->resumed = take_over(b);
	if (b->resumed) {
		r = ebpf_kernel_open(&b->power.kernel);
	} else {
		r = ebpf_power_load(&b->power, everything, e);
		if (r < 0) {
			ebpf_close(h, b);
			return r;
		}
		r = hold_all(b);
	}
	if (r >= 0)
		r = open_maps(b);
	if (r >= 0)
		r = open_watches(b, h);
	if (r < 0) {
		ebpf_close(h, b);
		return ebpf_refuse(e, r, "BPF maps");
	}
	ebpf_set_sleeping(b, 1);
	b->calls_until = clock_monotonic_ms() + EBPF_LINGER_MS;
	*shared = *ret = b;
	return 0;
}

/* --- a helper that is gone ---------------------------------------------------------------------
 */

/* What it had loaded went with it. Its runs see nothing any more; those that come have another. */
static void forsake(struct ebpf *b)
{
	struct ebpf_run *next;

	b->forsaken = true;
	release_all(b);
	if (b->end.fd >= 0)
		host_unwatch(b->host, &b->end);
	b->end.fd = -1;
	*host_shared(b->host, &backend_ebpf) = NULL;
	for (struct ebpf_run *r = b->first; r; r = next) {
		struct backend_run *run = r->run;

		next = r->next;
		host_complain(b->host, run->target.session,
			      HELPER_PROGRAM " was killed; it is not observed any more");
		for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
			run_missed(run, (enum reeve_category)c, 1);
	}
	ebpf_leave(b);
}

/* When the last run of one that was forsaken has ended. */
void ebpf_leave(struct ebpf *b)
{
	if (b->forsaken && !b->first)
		ebpf_close(b->host, b);
}

bool ebpf_look_after_helper(struct ebpf *b)
{
	if (!b->power.helper.lost)
		return true;
	if (!b->forsaken)
		forsake(b);
	return false;
}

static void on_end(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, end);

	if (!helper_drain(&b->power.helper))
		(void)ebpf_look_after_helper(b);
}

/* --- attaching ---------------------------------------------------------------------------------
 */

static bool is_needed(const struct ebpf *b, unsigned i)
{
	switch (ebpf_need_of(i)) {
	case EBPF_NEED_ANY:
		return b->first != NULL;
	case EBPF_NEED_CALLS:
		return b->n_calls > 0;
	case EBPF_NEED_FUNCTIONS:
		return b->n_calls > 0 || clock_monotonic_ms() < b->calls_until;
	default:
		return b->n_calls > 0 && host_cgroup_dir(b->host) >= 0;
	}
}

static void detach(struct ebpf *b, unsigned i)
{
	char name[HELD_NAME_MAX];

	name_of(EBPF_LINK + i, name);
	host_release(b->host, name);
	ebpf_power_detach(&b->power, i);
}

static int attach(struct ebpf *b, unsigned i)
{
	char name[HELD_NAME_MAX];
	int r = ebpf_power_attach(&b->power, i, host_cgroup_dir(b->host));

	if (r < 0)
		return ebpf_need_of(i) == EBPF_NEED_SOCKETS ||
				       ebpf_need_of(i) == EBPF_NEED_FUNCTIONS
			       ? 0
			       : r;
	if (b->power.kernel.fds[EBPF_LINK + i] < 0)
		return 0; /* not ours */
	name_of(EBPF_LINK + i, name);
	return host_hold(b->host, name, b->power.kernel.fds[EBPF_LINK + i]);
}

/* Each program is attached exactly while a run needs it: they cost all processes of the machine. */
int ebpf_update_links(struct ebpf *b)
{
	bool lingers = b->n_calls == 0 && ebpf_power_is_attached(&b->power, FUNCTIONS);

	if (b->n_calls > 0)
		b->calls_until = clock_monotonic_ms() + EBPF_LINGER_MS;
	for (unsigned i = 0; i < EBPF_PROGRAMS; i++) {
		bool attached = ebpf_power_is_attached(&b->power, i);
		int r = 0;

		if (is_needed(b, i) && !attached)
			r = attach(b, i);
		else if (!is_needed(b, i) && attached)
			detach(b, i);
		if (r < 0)
			return r;
	}
	ebpf_set_timer(b->sweeper.fd,
		       1000ULL * (b->n_calls > 0 ? EBPF_SWEEP_MS
				  : lingers      ? EBPF_LINGER_MS
						 : 0),
		       1000ULL * (b->n_calls > 0 ? EBPF_SWEEP_MS : EBPF_LINGER_MS));
	return 0;
}

bool ebpf_lacks_functions(const struct ebpf *b)
{
	return b->reader->tier == TIER_FUNCTIONS && !ebpf_power_is_attached(&b->power, FUNCTIONS);
}

/* Who holds them may be killed; and who held them before may not be gone when they are needed. */
void ebpf_look_after_functions(struct ebpf *b)
{
	int sock = b->power.kernel.fds[EBPF_LINK + FUNCTIONS];

	if (sock >= 0 && !ebpf_functions_are_held(sock)) {
		detach(b, FUNCTIONS);
		for (struct ebpf_run *r = b->first; r; r = r->next) {
			if (run_wants(r->run, REEVE_FILE))
				run_missed(r->run, REEVE_FILE, 1);
		}
	}
	if (ebpf_lacks_functions(b))
		(void)ebpf_update_links(b);
}
