/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ebpf`: programs in the kernel, loaded once a host, that see what tagged tasks do.
 *
 * The kernel need not wake us for each event. Asleep, we are woken by the first; awake, we look
 * every TICK_US, and go to sleep again after a while without any. Everything that must outlive the
 * engine is in maps, whose descriptors are held: what was read is counted in the ring itself. */
#include "observe/ebpf.h"
#include "base/clock.h"
#include "observe/ebpf_run.h"
#include "observe/trial.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_US        4000U
#define QUIET_TICKS    8U   /* without an event: asleep */
#define SWEEP_SOON_MS  50U  /* when some may have been closed unseen */
#define RECORDS_A_TURN 64U  /* of each ring: who shares the loop waits meanwhile, */
#define REST_US        400U /* and who shares the processor has it between two turns, */
#define UNTOLD_TURNS   16U  /* what was dropped is told after so many at the latest */

/* --- records -----------------------------------------------------------------------------------
 */

struct reading {
	struct ebpf *b;
	int64_t offset_ns;
};

static void take_record(void *userdata, unsigned ring, const struct record *record, uint64_t next)
{
	struct reading *reading = userdata;
	struct ebpf *b = reading->b;
	struct ebpf_run *run = record->session < SESSIONS_MAX ? b->runs[record->session] : NULL;
	struct backend_origin origin = { ring, next };
	struct reeve_event e;

	if (!run || run->generation != record->generation)
		return;
	if (next <= run->run->target.after[ring])
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
	struct session *s = &b->power.kernel.sessions[run->place];

	for (unsigned c = 0; c < CATEGORIES; c++) {
		uint64_t dropped = __atomic_load_n(&s->dropped[c], __ATOMIC_ACQUIRE);

		if (dropped == s->told[c])
			continue;
		run_missed(run->run, (enum reeve_category)c, dropped - s->told[c]);
		s->told[c] = dropped;
	}
}

/* Reads up to RECORDS_A_TURN of each ring. Returns how many there were; `*ret_more`: others wait.
 * What was dropped is told when there are none: all runs are looked through for it. */
static unsigned read_rings(struct ebpf *b, bool *ret_more)
{
	struct reading reading = { .b = b, .offset_ns = clock_offset() };
	unsigned n = ebpf_rings_read(b->rings, RECORDS_A_TURN, take_record, &reading, ret_more);

	if (*ret_more && ++b->untold < UNTOLD_TURNS)
		return n;
	b->untold = 0;
	for (struct ebpf_run *run = b->first; run; run = run->next)
		tell_missed(b, run);
	return n;
}

/* --- awake and asleep --------------------------------------------------------------------------
 */

void ebpf_set_timer(int fd, uint64_t us, uint64_t every_us)
{
	struct itimerspec t = {
		.it_value = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000L },
		.it_interval = { (time_t)(every_us / 1000000), (long)(every_us % 1000000) * 1000L },
	};

	(void)timerfd_settime(fd, 0, &t, NULL);
}

void ebpf_set_sleeping(struct ebpf *b, uint32_t value)
{
	for (unsigned i = 0; i < RINGS; i++)
		__atomic_store_n(&b->reader->sleeping[i], value, __ATOMIC_SEQ_CST);
}

static void wake_up(struct ebpf *b)
{
	b->quiet = 0;
	if (b->awake)
		return;
	b->awake = true;
	ebpf_set_sleeping(b, 0);
	ebpf_set_timer(b->tick.fd, TICK_US, TICK_US);
}

/* An event that came before the kernel could know that we sleep keeps us awake. */
static void fall_asleep(struct ebpf *b)
{
	ebpf_set_sleeping(b, 1);
	if (ebpf_ring_fill(&b->rings[0]) > 0 || ebpf_ring_fill(&b->rings[1]) > 0) {
		ebpf_set_sleeping(b, 0);
		return;
	}
	b->awake = false;
	ebpf_set_timer(b->tick.fd, 0, 0);
}

static void sweep(struct ebpf *b, bool now)
{
	b->gone = b->reader->gone;
	b->swept = clock_monotonic_ms();
	ebpf_power_sweep(&b->power, now);
}

void ebpf_on_ring(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, watches[0]);
	bool more; /* then we are called again */

	(void)read_rings(b, &more);
	wake_up(b);
}

void ebpf_on_other_ring(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, watches[1]);
	bool more; /* then we are called again */

	(void)read_rings(b, &more);
	wake_up(b);
}

static bool may_rest(const struct ebpf *b)
{
	for (unsigned i = 0; i < RINGS; i++)
		if (ebpf_ring_fill(&b->rings[i]) > b->rings[i].size / EBPF_PRESSES)
			return false;
	return true;
}

void ebpf_on_tick(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, tick);
	bool is_used = b->first != NULL, more;
	uint64_t times;

	if (b->n_calls > 0 && b->reader->gone != b->gone &&
	    clock_monotonic_ms() - b->swept >= SWEEP_SOON_MS)
		sweep(b, false);
	if (!ebpf_look_after_helper(b) && !is_used)
		return; /* it is gone with it */
	if (read_rings(b, &more) > 0)
		b->quiet = 0;
	else if (++b->quiet >= QUIET_TICKS)
		fall_asleep(b);
	if (!more)
		(void)!read(w->fd, &times, sizeof(times));
	else if (may_rest(b))
		ebpf_set_timer(w->fd, REST_US, TICK_US);
	/* else we are called again at once, by what is not read */
}

void ebpf_on_sweep(struct watch *w)
{
	struct ebpf *b = container_of(w, struct ebpf, sweeper);
	uint64_t times;

	(void)!read(w->fd, &times, sizeof(times));
	if (b->n_calls == 0)
		(void)ebpf_update_links(b);
	else if (clock_monotonic_ms() - b->swept >= EBPF_SWEEP_MS / 2)
		sweep(b, false);
	if (b->n_calls > 0)
		ebpf_look_after_functions(b);
}

/* --- the backend -------------------------------------------------------------------------------
 */

static int start(struct backend_run *run, struct error *e)
{
	struct ebpf *b;
	int r = ebpf_open(run->host, run->target.everything, &b, e);

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

static bool is_behind(const struct ebpf *b, const uint64_t ends[RINGS])
{
	for (unsigned i = 0; i < RINGS; i++)
		if (*b->rings[i].consumed < ends[i])
			return true;
	return false;
}

/* What others do meanwhile is not waited for: it may have no end. */
static void flush(struct backend_run *run)
{
	struct ebpf *b = ((struct ebpf_run *)run->state)->b;
	uint64_t ends[RINGS];
	bool more;

	if (b->n_calls > 0)
		sweep(b, true);
	for (unsigned i = 0; i < RINGS; i++)
		ends[i] = *b->rings[i].consumed + ebpf_ring_fill(&b->rings[i]);
	while (is_behind(b, ends) && read_rings(b, &more) > 0)
		continue;
	tell_missed(b, run->state);
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
	const char *with_functions; /* in TIER_FUNCTIONS, where that is another */
} proofs[REEVE_CATEGORIES] = {
	[REEVE_FILE] = {
		.wanted = KIND_BIT(REEVE_OPENED) | KIND_BIT(REEVE_CLOSED),
		.reason = "calls with result and bytes, paths of open files as the kernel knows them; "
			  "names that are removed or renamed as the process gave them; io_uring by "
			  "opcode only",
		.with_functions =
			"calls with result and bytes, paths of open files and of what is made, "
			"removed or renamed as the kernel knows them, through io_uring, too; reads "
			"and writes of io_uring by opcode only",
	},
	[REEVE_NETWORK] = {
		.wanted = KIND_BIT(REEVE_CONNECTED),
		.reason = "connections with addresses, results and bytes; io_uring by opcode only",
	},
	[REEVE_PROCESS] = {
		.wanted = KIND_BIT(REEVE_FORKED) | KIND_BIT(REEVE_EXECUTED) |
			  KIND_BIT(REEVE_EXITED),
		.reason = "forks, executions with path and arguments, exits with codes and times",
	},
};

/* Which tier it is, and why it is not the better one. */
static void say_tier(const struct trial *t, char *text, size_t size)
{
	int refused = -t->refused;

	if (t->tier == TIER_FUNCTIONS)
		(void)snprintf(text, size, "; tier: functions");
	else if (refused == 0)
		(void)snprintf(text, size, "; tier: tracepoints");
	else
		(void)snprintf(text, size, "; tier: tracepoints (fexit: %s)",
			       refused == ENOENT || refused == ESRCH ? "a function is missing"
			       : refused == ENODATA                  ? "it does not fire"
								     : strerror(refused));
}

static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	struct error e = { 0 };
	struct trial t;
	uint64_t wanted = 0;
	char tier[96];

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		wanted |= proofs[c].wanted;
	if (trial_run(&t, &backend_ebpf, scope, cgroup_dir, backend_ebpf.categories, wanted, &e) <
	    0) {
		support_set(ret, backend_ebpf.categories, REEVE_UNAVAILABLE, "%s", e.message);
		return;
	}
	say_tier(&t, tier, sizeof(tier));
	for (unsigned c = REEVE_FILE; c < REEVE_CATEGORIES; c++) {
		const char *reason = t.tier == TIER_FUNCTIONS && proofs[c].with_functions
					     ? proofs[c].with_functions
					     : proofs[c].reason;
		bool seen = (t.seen & proofs[c].wanted) == proofs[c].wanted &&
			    (c != REEVE_FILE || t.saw_path) &&
			    (c != REEVE_PROCESS || t.saw_exit_code);

		if (seen)
			support_set(ret, 1U << c, REEVE_SUPPORTED, "%s%s%s", reason, tier,
				    t.own_only ? "; not what runs with other rights than yours "
						 "(setuid, file capabilities)"
					       : "");
		else
			support_set(ret, 1U << c, REEVE_UNAVAILABLE,
				    "its programs load and attach here, but what a process does "
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
	.close = ebpf_close,
};
