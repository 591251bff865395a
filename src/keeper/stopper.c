/* SPDX-License-Identifier: Apache-2.0 */
/* stopper.c - carries out stop plans, and finds out when a tree is gone.
 *
 * A step is marked in the record before its signal is sent: a successor never repeats one. Trees
 * are looked at together, one walk over /proc for all, after a process ended and then with growing
 * pauses. */
#include "base/clock.h"
#include "base/log.h"
#include "core/stopplan.h"
#include "keeper/keeper.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH_MAX       256U
#define LOOK_MIN_MS     2U
#define LOOK_MAX_MS     200U
#define LOOK_REFUSED_MS 2000U
#define UNSURE_MAX_MS   5000U /* how long one that cannot be told may hold up others */

/* Several slots and their trees, treated in one walk. */
struct batch {
	unsigned n;
	unsigned slots[BATCH_MAX];
	struct tree trees[BATCH_MAX];
	struct tree_result results[BATCH_MAX];
};

struct tree slot_tree(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	struct tree t = {
		.mark = word_load(&s->mark),
		.cgroup_dir = k->daemon_fds[DAEMON_FD_CGROUP],
		.cgroup_leaf = (uint32_t)word_load(&s->cgroup),
		.leader = word_load(&s->exit.ready) || k->slots[slot].adopted ? 0 : slot_pid(s),
		.reaper = k->peek_children && !k->slots[slot].adopted ? getpid() : 0,
		.patience = k->slots[slot].patience,
	};

	slot_id(s, t.session);
	return t;
}

/* Marks of other sessions of this daemon: one started from inside another is not part of it. */
static bool is_mark(uint64_t mark, void *userdata)
{
	struct keeper *k = userdata;

	for (unsigned i = 1; i <= k->top_slot; i++)
		if (k->slots[i].held && word_load(&keeper_slot(k, i)->mark) == mark)
			return true;
	return false;
}

static void batch_add(struct keeper *k, struct batch *b, unsigned slot)
{
	b->slots[b->n] = slot;
	b->trees[b->n++] = slot_tree(k, slot);
}

/* Fills it anew with the wanted slots from `*next` on; false when there are none any more. */
static bool batch_fill(struct keeper *k, struct batch *b, unsigned *next,
		       bool (*wanted)(struct keeper *k, unsigned slot))
{
	for (b->n = 0; *next <= k->top_slot && b->n < BATCH_MAX; (*next)++)
		if (wanted(k, *next))
			batch_add(k, b, *next);
	return b->n > 0;
}

static void look_soon(struct keeper *k, uint64_t now, unsigned pause)
{
	k->look_pause = pause;
	if (k->look_at == 0 || k->look_at > now + pause)
		k->look_at = now + pause;
}

static bool leader_has_ended(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	siginfo_t si = { 0 };

	if (word_load(&s->exit.ready))
		return true;
	if (k->slots[slot].adopted) {
		struct pollfd p = { .fd = k->slots[slot].fds[SLOT_FD_PID], .events = POLLIN };

		return !slot_holds(k, slot, SLOT_FD_PID) || poll(&p, 1, 0) == 1;
	}
	return waitid(P_PID, (id_t)slot_pid(s), &si, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	       si.si_pid != 0;
}

static void set_watched(struct keeper *k, unsigned slot, bool on)
{
	struct holding *h = &k->slots[slot];

	if (h->watched != on)
		k->n_watched += on ? 1 : -1U;
	h->watched = on;
}

static void set_stopping(struct keeper *k, unsigned slot, bool on)
{
	struct holding *h = &k->slots[slot];

	if (h->stopping != on)
		k->n_stopping += on ? 1 : -1U;
	h->stopping = on;
	if (!on)
		h->killing = false;
}

static void tree_is_gone(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);

	if (!word_load(&s->exit.ready))
		return; /* only a zombie is left: its reap comes first */
	set_watched(k, slot, false);
	set_stopping(k, slot, false);
	/* In this order: a stop that is finished while the tree is not gone would be asked for
	 * again. */
	word_store(&s->tree_gone, 1);
	word_store(&s->stop.finished, word_load(&s->stop.begun));
	slot_changed(k, slot);
}

static void mark(struct keeper *k, unsigned slot, uint64_t marks)
{
	struct control_stop *stop = &keeper_slot(k, slot)->stop;

	word_store(&stop->signalled, word_load(&stop->signalled) | marks);
}

static void note_results(struct keeper *k, const struct batch *b, int signal)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct control_stop *stop = &keeper_slot(k, b->slots[i])->stop;
		const struct tree_result *r = &b->results[i];
		uint64_t marks = word_load(&stop->signalled) & ~(uint64_t)MARK_KILLING;

		/* Whether the leader took SIGKILL, or had ended otherwise before it came, is told
		 * by its exit status. */
		if (signal == SIGKILL && r->signalled > r->leader)
			marks |= MARK_HARD;
		if (signal != SIGKILL && r->signalled > 0)
			marks |= MARK_SOFT;
		word_store(&stop->signalled, marks);
		word_store(&stop->refused, r->refused);
		if (r->refused > 0)
			word_store(&stop->refused_pid, (uint64_t)r->refused_pids[0]);
	}
}

void stopper_begin(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	struct control_stop *stop = &s->stop;
	uint64_t requested = word_load(&stop->requested);

	if (word_load(&s->tree_gone) || requested <= word_load(&stop->begun) ||
	    word_load(&s->spawn) == SPAWN_FAILED)
		return;
	word_store(&stop->step, 0);
	word_store(&stop->deadline, 0);
	word_store(&stop->begun, requested);
	k->slots[slot].killing = false;
	k->slots[slot].patience = 0;
	set_stopping(k, slot, true);
}

static struct control_plan *plan_of(struct control_stop *stop)
{
	return control_plan(stop, word_load(&stop->begun));
}

void stopper_adopt(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);
	struct control_stop *stop = &s->stop;
	uint64_t step = word_load(&stop->step);

	if (word_load(&stop->signalled) & MARK_KILLING)
		mark(k, slot, MARK_HARD); /* nobody is left to say that it reached none */
	if (word_load(&s->tree_gone))
		return;
	stopper_begin(k, slot);
	if (word_load(&stop->begun) > word_load(&stop->finished)) {
		set_stopping(k, slot, true);
		/* A step that was marked may or may not have been sent. SIGKILL is safe to repeat.
		 */
		if (step > 0 && step <= STOP_STEPS_MAX &&
		    stop_step_unpack(word_load(&plan_of(stop)->steps[step - 1])).signal == SIGKILL)
			k->slots[slot].killing = true;
	}
	if (word_load(&s->exit.ready))
		set_watched(k, slot, true);
	look_soon(k, clock_boottime_ms(), LOOK_MIN_MS);
}

/* The step that comes next; false when there is none. */
static bool next_step(struct control_stop *stop, struct stop_step *ret)
{
	struct control_plan *plan = plan_of(stop);
	uint64_t step = word_load(&stop->step);

	if (step >= word_load(&plan->n_steps) || step >= STOP_STEPS_MAX)
		return false;
	*ret = stop_step_unpack(word_load(&plan->steps[step]));
	return true;
}

static bool is_due(struct keeper *k, unsigned slot, uint64_t now, struct stop_step *ret)
{
	struct control_slot *s = keeper_slot(k, slot);

	return k->slots[slot].stopping && !k->slots[slot].killing &&
	       word_load(&s->spawn) == SPAWN_STARTED && now >= word_load(&s->stop.deadline) &&
	       next_step(&s->stop, ret);
}

/* Marks it as sent: after this a successor does not send it again. */
static void mark_sent(struct keeper *k, unsigned slot, const struct stop_step *next, uint64_t now)
{
	struct control_stop *stop = &keeper_slot(k, slot)->stop;

	if (word_load(&stop->signalled) == 0 && !leader_has_ended(k, slot))
		word_store(&stop->signalled, MARK_LEADER_WAS_ALIVE);
	word_store(&stop->deadline, now + next->wait_ms);
	word_store(&stop->step, word_load(&stop->step) + 1);
	if (next->signal == SIGKILL)
		k->slots[slot].killing = true;
}

static bool same_signal(int signal, int *chosen)
{
	if (*chosen == 0)
		*chosen = signal;
	return signal == *chosen;
}

/* Soft steps: all slots whose next signal is the same are served by one walk. */
static void send_due(struct keeper *k, uint64_t now)
{
	struct tree_filter filter = { .excluded = is_mark, .userdata = k };
	struct batch b;
	int chosen;

	do {
		chosen = 0;
		b.n = 0;
		for (unsigned i = 1; i <= k->top_slot && b.n < BATCH_MAX; i++) {
			struct stop_step next;

			if (!is_due(k, i, now, &next) || !same_signal(next.signal, &chosen))
				continue;
			mark_sent(k, i, &next, now);
			if (next.signal != SIGKILL)
				batch_add(k, &b, i);
		}
		if (b.n == 0)
			return;
		if (tree_signal(b.trees, b.n, &filter, chosen, true, b.results) >= 0)
			note_results(k, &b, chosen);
		look_soon(k, now, LOOK_MIN_MS);
	} while (b.n == BATCH_MAX);
}

static bool is_being_killed(struct keeper *k, unsigned slot)
{
	return k->slots[slot].killing;
}

/* Only what belongs to others is left. They are named, and watched. */
static void give_up_refused(struct keeper *k, unsigned slot)
{
	struct control_stop *stop = &keeper_slot(k, slot)->stop;

	set_stopping(k, slot, false);
	set_watched(k, slot, true);
	word_store(&stop->finished, word_load(&stop->begun));
	slot_changed(k, slot);
}

static void kill_batch(struct keeper *k, struct batch *b, uint64_t now)
{
	struct tree_filter filter = { .excluded = is_mark, .userdata = k };
	int r;

	for (unsigned i = 0; i < b->n; i++)
		mark(k, b->slots[i], MARK_KILLING);
	r = tree_kill_step(b->trees, b->n, &filter, b->results);
	if (r < 0) {
		log_warn("killing trees: %s", strerror(-r));
		look_soon(k, now, LOOK_MAX_MS);
		return;
	}
	note_results(k, b, SIGKILL);
	for (unsigned i = 0; i < b->n; i++) {
		k->slots[b->slots[i]].patience = b->trees[i].patience;
		if (r == 0 && b->results[i].refused > 0)
			give_up_refused(k, b->slots[i]);
	}
}

/* Hard steps: SIGKILL until nothing is left. */
static void kill_due(struct keeper *k, uint64_t now)
{
	struct batch b;

	for (unsigned next = 1; batch_fill(k, &b, &next, is_being_killed);)
		kill_batch(k, &b, now);
}

static bool may_be_gone(struct keeper *k, unsigned slot)
{
	const struct holding *h = &k->slots[slot];

	return (h->watched || h->stopping) &&
	       word_load(&keeper_slot(k, slot)->spawn) == SPAWN_STARTED;
}

/* False when it could not be told. One that cannot be told for long holds up nobody any more, as
 * long as it is there. */
static bool look(struct keeper *k, uint64_t now)
{
	struct tree_filter filter = { .excluded = is_mark, .userdata = k };
	unsigned alive[BATCH_MAX];
	bool disowned = false;
	struct batch b;

	filter.disown_unknown = k->unsure_since != 0 && now - k->unsure_since > UNSURE_MAX_MS;
	for (unsigned next = 1; batch_fill(k, &b, &next, may_be_gone);) {
		int r = tree_alive(b.trees, b.n, &filter, alive);

		if (r < 0) {
			if (k->unsure_since == 0)
				k->unsure_since = now;
			return false;
		}
		disowned |= r > 0;
		for (unsigned i = 0; i < b.n; i++)
			if (alive[i] == 0)
				tree_is_gone(k, b.slots[i]);
	}
	if (!disowned)
		k->unsure_since = 0;
	return true;
}

/* When to look again by oneself. Ends of our own children announce themselves; what is being
 * stopped, or belongs to another parent, or could not be told, is asked about with growing pauses.
 */
static void plan_look(struct keeper *k, uint64_t now, bool told)
{
	unsigned pause = k->look_pause;

	if (told && k->n_stopping == 0 && (k->n_watched == 0 || !k->look_anyway)) {
		k->look_at = 0;
		return;
	}
	k->look_at = now + pause;
	k->look_pause = pause * 2 < LOOK_MAX_MS ? pause * 2 : LOOK_MAX_MS;
}

void stopper_run(struct keeper *k, uint64_t boottime)
{
	bool kill_round;

	if (k->n_stopping > 0)
		send_due(k, boottime);
	kill_round = k->look_at != 0 && boottime >= k->look_at;
	for (unsigned i = 1; !kill_round && k->n_stopping > 0 && i <= k->top_slot; i++)
		kill_round = k->slots[i].killing && k->slots[i].patience == 0;
	if (!kill_round)
		return;
	k->look_at = 0;
	kill_due(k, boottime);
	plan_look(k, boottime, look(k, boottime));
}

int stopper_timeout(const struct keeper *k, uint64_t boottime)
{
	uint64_t due = k->look_at ? k->look_at : UINT64_MAX;

	for (unsigned i = 1; k->n_stopping > 0 && i <= k->top_slot; i++) {
		struct control_slot *s = control_slot(k->memory, i);
		uint64_t deadline = word_load(&s->stop.deadline);
		struct stop_step next;

		if (!k->slots[i].stopping || k->slots[i].killing)
			continue;
		if (word_load(&s->spawn) != SPAWN_STARTED)
			deadline = boottime + 10;
		if (next_step(&s->stop, &next) && deadline < due)
			due = deadline;
	}
	if (due == UINT64_MAX)
		return -1;
	return due <= boottime ? 0 : (int)(due - boottime < 60000 ? due - boottime : 60000);
}

void stopper_look(struct keeper *k)
{
	if (k->n_watched > 0 || k->n_stopping > 0)
		look_soon(k, clock_boottime_ms(), LOOK_MIN_MS);
	else
		k->unsure_since = 0; /* it may have been the one that could not be told */
}

/* --- after a leader's end
 * ---------------------------------------------------------------------------- */

struct orphan_search {
	struct keeper *k;
	struct tree tree;
};

/* Stops at a child of ours that is nobody's leader and bears the mark, or another sign. */
static int is_orphan(pid_t pid, void *userdata)
{
	struct orphan_search *o = userdata;
	uint64_t mark;

	if (pid == o->k->engine.pid || pid == o->k->spawner.pid || slot_of_pid(o->k, pid) != 0)
		return 0;
	if (proc_mark(pid, &mark) < 0)
		return 0;
	return mark == o->tree.mark ||
	       ((mark == 0 || !is_mark(mark, o->k)) && tree_may_have_orphan(&o->tree, pid));
}

/* This process has one thread. */
static int each_child(const struct keeper *k, proc_fn fn, void *userdata)
{
	if (k->children_fd < 0 || lseek(k->children_fd, 0, SEEK_SET) < 0)
		return proc_each_child(fn, userdata);
	return proc_read_pids(k->children_fd, fn, userdata);
}

/* The quick look: when a leader has ended, whatever is left of its tree hangs on a child of this
 * subreaper, and in its cgroup where it has one. */
static bool nothing_left(struct keeper *k, unsigned slot)
{
	struct orphan_search o = { k, slot_tree(k, slot) };
	bool populated = false;
	int r = tree_populated(&o.tree, &populated);

	if ((r < 0 && r != -EOPNOTSUPP) || populated || !k->peek_children || k->slots[slot].adopted)
		return false;
	return each_child(k, is_orphan, &o) == 0;
}

void stopper_leader_ended(struct keeper *k, unsigned slot)
{
	if (!k->slots[slot].stopping && nothing_left(k, slot)) {
		word_store(&keeper_slot(k, slot)->tree_gone, 1);
		return;
	}
	set_watched(k, slot, true);
	look_soon(k, clock_boottime_ms(), LOOK_MIN_MS);
}

bool stopper_kill_now(struct keeper *k, unsigned slot)
{
	struct control_slot *s = keeper_slot(k, slot);

	if (word_load(&s->state) != SLOT_LIVE || word_load(&s->tree_gone) ||
	    word_load(&s->spawn) != SPAWN_STARTED)
		return false;
	if (k->slots[slot].killing)
		return true;
	if (word_load(&s->stop.finished) != 0 && word_load(&s->stop.refused) != 0)
		return false; /* what is left is not ours to end */
	set_stopping(k, slot, true);
	k->slots[slot].killing = true;
	look_soon(k, clock_boottime_ms(), LOOK_MIN_MS);
	return true;
}
