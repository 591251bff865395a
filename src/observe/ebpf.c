/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ebpf`: programs in the kernel, loaded once a host, that see what tagged tasks do.
 *
 * The kernel need not wake us for each event. Asleep, we are woken by the first; awake, we look
 * every TICK_MS, and go to sleep again after a while without any. Everything that must outlive the
 * engine is in maps, whose descriptors are held: what was read is counted in the ring itself. */
#include "observe/ebpf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "core/tree.h"
#include "observe/ebpf_run.h"
#include "observe/trial.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>

#define TICK_MS        4U
#define QUIET_TICKS    8U    /* without an event: asleep */
#define SWEEP_MS       1000U /* between two looks at open files */
#define SWEEP_SOON_MS  50U   /* when some may have been closed unseen */
#define RECORDS_A_TURN 4096U

/* --- records -----------------------------------------------------------------------------------
 */

struct reading {
	struct ebpf *b;
	unsigned ring;
	int64_t offset_ns;
};

static void take_record(void *userdata, const struct record *record, uint64_t next)
{
	struct reading *reading = userdata;
	struct ebpf *b = reading->b;
	struct ebpf_run *run = record->session < SESSIONS_MAX ? b->runs[record->session] : NULL;
	struct backend_origin origin = { reading->ring, next };
	struct reeve_event e;

	if (!run || run->generation != record->generation)
		return;
	if (next <= run->run->target.after[reading->ring])
		return; /* a predecessor delivered it */
	if (ebpf_decode(record, record->size, reading->offset_ns, &b->texts, &e) >= 0)
		run_event(run->run, &e, &origin);
}

static int64_t clock_offset(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)clock_realtime_ns() - ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

/* What the kernel dropped since it was last told. */
static void tell_missed(struct ebpf *b, struct ebpf_run *run)
{
	struct session *s = &b->sessions[run->place];

	for (unsigned c = 0; c < CATEGORIES; c++) {
		uint64_t dropped = __atomic_load_n(&s->dropped[c], __ATOMIC_ACQUIRE);

		if (dropped == s->told[c])
			continue;
		run_missed(run->run, (enum reeve_category)c, dropped - s->told[c]);
		s->told[c] = dropped;
	}
}

/* Reads up to `max` records of each ring. Returns how many there were. */
static unsigned read_rings(struct ebpf *b, unsigned max)
{
	struct reading reading = { .b = b, .offset_ns = clock_offset() };
	unsigned n = 0;

	for (unsigned i = 0; i < RINGS; i++) {
		reading.ring = i;
		n += ebpf_ring_read(&b->rings[i], max, take_record, &reading);
	}
	for (struct ebpf_run *run = b->first; run; run = run->next)
		tell_missed(b, run);
	return n;
}

/* --- awake and asleep --------------------------------------------------------------------------
 */

static void set_timer(int fd, uint64_t ms, uint64_t every_ms)
{
	struct itimerspec t = {
		.it_value = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000L },
		.it_interval = { (time_t)(every_ms / 1000), (long)(every_ms % 1000) * 1000000L },
	};

	(void)timerfd_settime(fd, 0, &t, NULL);
}

static void set_sleeping(struct ebpf *b, uint32_t value)
{
	for (unsigned i = 0; i < RINGS; i++)
		__atomic_store_n(&b->control->sleeping[i], value, __ATOMIC_SEQ_CST);
}

static void wake_up(struct ebpf *b)
{
	b->quiet = 0;
	if (b->awake)
		return;
	b->awake = true;
	set_sleeping(b, 0);
	set_timer(b->tick.fd, TICK_MS, TICK_MS);
}

/* An event that came before the kernel could know that we sleep keeps us awake. */
static void fall_asleep(struct ebpf *b)
{
	set_sleeping(b, 1);
	if (!ebpf_ring_empty(&b->rings[0]) || !ebpf_ring_empty(&b->rings[1])) {
		set_sleeping(b, 0);
		return;
	}
	b->awake = false;
	set_timer(b->tick.fd, 0, 0);
}

static void sweep(struct ebpf *b)
{
	b->gone = b->control->gone;
	b->swept = clock_monotonic_ms();
	(void)ebpf_run_sweep(b->fds[EBPF_SWEEP], SWEEP_FILES);
}

static void on_ring(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, watches[0]);

	(void)read_rings(b, RECORDS_A_TURN);
	wake_up(b);
}

static void on_other_ring(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, watches[1]);

	(void)read_rings(b, RECORDS_A_TURN);
	wake_up(b);
}

static void on_tick(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, tick);
	uint64_t times;

	(void)!read(w->fd, &times, sizeof(times));
	if (b->n_calls > 0 && b->control->gone != b->gone &&
	    clock_monotonic_ms() - b->swept >= SWEEP_SOON_MS)
		sweep(b);
	if (read_rings(b, RECORDS_A_TURN) > 0)
		b->quiet = 0;
	else if (++b->quiet >= QUIET_TICKS)
		fall_asleep(b);
}

static void on_sweep(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, sweeper);
	uint64_t times;

	(void)!read(w->fd, &times, sizeof(times));
	if (clock_monotonic_ms() - b->swept >= SWEEP_MS / 2)
		sweep(b);
}

/* --- shared by all runs ------------------------------------------------------------------------
 */

static void unmap(void *p, size_t size)
{
	if (p)
		(void)munmap(p, size);
}

static void close_shared(struct host *h, void *shared)
{
	struct ebpf *b = shared;
	struct watch *all[] = { &b->watches[0], &b->watches[1], &b->tick, &b->sweeper };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i]->fd >= 0)
			host_unwatch(h, all[i]);
	}
	fd_close(b->tick.fd);
	fd_close(b->sweeper.fd);
	for (unsigned i = 0; i < RINGS; i++)
		ebpf_ring_close(&b->rings[i]);
	unmap(b->sessions, SESSIONS_MAX * sizeof(*b->sessions));
	unmap(b->control, sizeof(*b->control));
	for (unsigned i = 0; i < N_EBPF_FDS; i++)
		fd_close(b->fds[i]);
	free(b);
}

/* The descriptors that a predecessor held; all of them, or none. */
static bool take_over(struct ebpf *b, struct host *h)
{
	char name[HELD_NAME_MAX];

	for (unsigned i = 0; i < N_EBPF_FDS; i++) {
		ebpf_fd_name(i, name);
		b->fds[i] = host_held(h, name);
		if (b->fds[i] < 0)
			b->fds[i] = -1;
		if (i < EBPF_PROGRAM && b->fds[i] < 0)
			return false;
	}
	return true;
}

static int hold_all(struct ebpf *b, struct host *h)
{
	for (unsigned i = 0; i < N_EBPF_FDS; i++) {
		char name[HELD_NAME_MAX];
		int r;

		ebpf_fd_name(i, name);
		r = b->fds[i] < 0 ? 0 : host_hold(h, name, b->fds[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static void *map_shared(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int open_maps(struct ebpf *b)
{
	b->sessions = map_shared(b->fds[EBPF_SESSIONS], SESSIONS_MAX * sizeof(*b->sessions));
	b->control = map_shared(b->fds[EBPF_CONTROL], sizeof(*b->control));
	if (!b->sessions || !b->control)
		return -errno;
	for (unsigned i = 0; i < RINGS; i++) {
		int r = ebpf_ring_open(&b->rings[i], b->fds[EBPF_RING_PROCESS + i]);

		if (r < 0)
			return r;
		b->control->wake_at[i] = b->rings[i].size / 4;
	}
	return ebpf_run_sweep(b->fds[EBPF_SWEEP], SWEEP_IDENTIFY);
}

static int add_watch(struct host *h, struct watch *w, int fd, void (*ready)(struct watch *),
		     bool edge)
{
	int r;

	if (fd < 0)
		return -errno;
	*w = (struct watch){ fd, ready, edge };
	r = host_watch(h, w);
	if (r < 0)
		w->fd = -1;
	return r;
}

static int open_watches(struct ebpf *b, struct host *h)
{
	int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int sweeper = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int r = add_watch(h, &b->tick, tick, on_tick, false);

	if (r < 0)
		fd_close(tick);
	if (r >= 0)
		r = add_watch(h, &b->sweeper, sweeper, on_sweep, false);
	if (b->sweeper.fd < 0)
		fd_close(sweeper);
	/* Only when the kernel wakes us: there is always something while much happens. */
	if (r >= 0)
		r = add_watch(h, &b->watches[0], b->fds[EBPF_RING_PROCESS], on_ring, true);
	if (r >= 0)
		r = add_watch(h, &b->watches[1], b->fds[EBPF_RING_BULK], on_other_ring, true);
	return r;
}

static int open_shared(struct host *h, struct ebpf **ret, struct error *e)
{
	void **shared = host_shared(h, &backend_ebpf);
	struct ebpf *b = *shared;
	int r = 0;

	if (b) {
		*ret = b;
		return 0;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "ebpf");
	memset(b->fds, 0xff, sizeof(b->fds));
	b->tick.fd = b->sweeper.fd = b->watches[0].fd = b->watches[1].fd = -1;
	b->host = h;
	b->resumed = take_over(b, h);
	if (!b->resumed) {
		for (unsigned i = 0; i < N_EBPF_FDS; i++)
			b->fds[i] = fd_close(b->fds[i]);
		r = ebpf_load(b->fds, e);
		if (r < 0) {
			close_shared(h, b);
			return r;
		}
		r = hold_all(b, h);
	}
	if (r >= 0)
		r = open_maps(b);
	if (r >= 0)
		r = open_watches(b, h);
	if (r < 0) {
		close_shared(h, b);
		return ebpf_refuse(e, r, "BPF maps");
	}
	set_sleeping(b, 1);
	*shared = *ret = b;
	return 0;
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
	default:
		return b->n_calls > 0 && host_cgroup_dir(b->host) >= 0;
	}
}

static void detach(struct ebpf *b, unsigned i)
{
	char name[HELD_NAME_MAX];

	ebpf_fd_name(EBPF_LINK + i, name);
	host_release(b->host, name);
	b->fds[EBPF_LINK + i] = fd_close(b->fds[EBPF_LINK + i]);
}

static int attach(struct ebpf *b, unsigned i)
{
	char name[HELD_NAME_MAX];
	int r;

	if (b->fds[EBPF_PROGRAM + i] < 0)
		return 0;
	r = ebpf_attach(b->fds, i, host_cgroup_dir(b->host));
	if (r < 0)
		return ebpf_need_of(i) == EBPF_NEED_SOCKETS ? 0 : r;
	b->fds[EBPF_LINK + i] = r;
	ebpf_fd_name(EBPF_LINK + i, name);
	return host_hold(b->host, name, r);
}

/* Each program is attached exactly while a run needs it: they cost all processes of the machine. */
int ebpf_update_links(struct ebpf *b)
{
	for (unsigned i = 0; i < EBPF_PROGRAMS; i++) {
		bool attached = b->fds[EBPF_LINK + i] >= 0;
		int r = 0;

		if (is_needed(b, i) && !attached)
			r = attach(b, i);
		else if (!is_needed(b, i) && attached)
			detach(b, i);
		if (r < 0)
			return r;
	}
	set_timer(b->sweeper.fd, b->n_calls > 0 ? SWEEP_MS : 0, SWEEP_MS);
	return 0;
}

/* --- the backend -------------------------------------------------------------------------------
 */

static int start(struct backend_run *run, struct error *e)
{
	struct ebpf *b;
	int r = open_shared(run->host, &b, e);

	return r < 0 ? r : ebpf_run_start(b, run, e);
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	if (n->what != NOTE_LEADER || run->target.leader != 0)
		return;
	run->target.leader = n->pid;
	if (ebpf_run_tag(run->state) < 0)
		run_missed(run, REEVE_PROCESS, 1);
}

static void flush(struct backend_run *run)
{
	struct ebpf *b = ((struct ebpf_run *)run->state)->b;

	if (b->n_calls > 0)
		sweep(b);
	while (read_rings(b, RECORDS_A_TURN) > 0)
		continue;
}

static void stop(struct backend_run *run)
{
	ebpf_run_stop(run->state);
	run->state = NULL;
}

static int change(struct backend_run *run, unsigned categories, enum backend_detail detail)
{
	return ebpf_run_change(run->state, categories, detail);
}

static void settled(struct host *h _unused_, void *shared)
{
	ebpf_run_settled(shared);
}

/* What is to be seen for a category to be supported, and what is said then. */
static const struct {
	uint64_t wanted;
	const char *reason;
} proofs[REEVE_CATEGORIES] = {
	[REEVE_FILE] = { KIND_BIT(REEVE_OPENED) | KIND_BIT(REEVE_CLOSED),
			 "calls with result and bytes, paths of open files as the kernel knows them; "
			 "names that are removed or renamed as the process gave them; io_uring by "
			 "opcode only" },
	[REEVE_NETWORK] = { KIND_BIT(REEVE_CONNECTED),
			    "connections with addresses, results and bytes; io_uring by opcode only" },
	[REEVE_PROCESS] = { KIND_BIT(REEVE_FORKED) | KIND_BIT(REEVE_EXECUTED) |
				    KIND_BIT(REEVE_EXITED),
			    "forks, executions with path and arguments, exits with codes and times" },
};

static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	struct error e = { 0 };
	struct trial t;
	uint64_t wanted = 0;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		wanted |= proofs[c].wanted;
	if (trial_run(&t, &backend_ebpf, scope, cgroup_dir, backend_ebpf.categories, wanted, &e) <
	    0) {
		support_set(ret, backend_ebpf.categories, REEVE_UNAVAILABLE, "%s", e.message);
		return;
	}
	for (unsigned c = REEVE_FILE; c < REEVE_CATEGORIES; c++) {
		bool seen = (t.seen & proofs[c].wanted) == proofs[c].wanted &&
			    (c != REEVE_FILE || t.saw_path) &&
			    (c != REEVE_PROCESS || t.saw_exit_code);

		support_set(ret, 1U << c, seen ? REEVE_SUPPORTED : REEVE_UNAVAILABLE, "%s",
			    seen ? proofs[c].reason
				 : "its programs load and attach here, but what a process does "
				   "is not seen");
	}
}

const struct backend backend_ebpf = {
	.name = "ebpf",
	.categories = 1U << REEVE_FILE | 1U << REEVE_NETWORK | 1U << REEVE_PROCESS,
	.probe = probe,
	.durable = true,
	.start = start,
	.note = note,
	.flush = flush,
	.stop = stop,
	.change = change,
	.settled = settled,
	.close = close_shared,
};
