/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/spawn.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/random.h"
#include "core/pipes.h"
#include "core/pty.h"
#include "engine/budget.h"
#include "engine/launch.h"
#include "engine/owner.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* An ordinary user's pipes share a page budget (pipe-user-pages-soft): stdin and stderr need
 * little. */
#define PIPE_IN_SIZE  4096U
#define PIPE_ERR_SIZE 16384U

/* The session's own ends. The keeper gets copies, and what else is in the parcel. */
#define SESSION_FDS                                                                                \
	(1U << SLOT_FD_MEMORY | 1U << SLOT_FD_IN | 1U << SLOT_FD_OUT | 1U << SLOT_FD_ERR |         \
	 1U << SLOT_FD_EVENTS)

/* Descriptors on their way to the keeper, closed here whatever happens. */
struct parcel {
	int fds[N_LINK_FDS];
	uint32_t lent; /* but not these: the session closes them */
};

static void parcel_init(struct parcel *p)
{
	p->lent = 0;
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		p->fds[i] = -1;
}

static void parcel_done(struct parcel *p)
{
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		if (p->lent & 1U << i)
			p->fds[i] = -1;
	link_close_fds(p->fds);
}

unsigned slot_reserve(struct engine *e, struct error *err)
{
	for (unsigned n = 0; n < CONTROL_SLOTS - 1; n++) {
		unsigned i = 1 + (e->free_hint + n) % (CONTROL_SLOTS - 1);
		struct control_slot *w = engine_slot(e, i);
		uint64_t generation = word_load(&w->generation);

		if (word_load(&w->state) != SLOT_FREE || e->slots[i])
			continue;
		memset((void *)w, 0, CONTROL_RECORD); /* nobody looks at a free record */
		word_store(&w->generation, generation + 1);
		e->free_hint = i;
		return i;
	}
	error_set(err, ERROR_EXHAUSTED,
		  "all %u session places are taken; `reeve purge` frees those of "
		  "sessions that have ended",
		  CONTROL_SLOTS - 1);
	return 0;
}

/* 62 random bits, or what an outer session's own mark leaves of them: the limit only goes down. */
static uint64_t make_mark(void)
{
	struct rlimit limit;
	uint64_t mark = random_u64() >> 2;

	if (getrlimit(RLIMIT_LOCKS, &limit) == 0 && limit.rlim_max != RLIM_INFINITY &&
	    limit.rlim_max > 1)
		mark = mark % (limit.rlim_max - 1);
	return mark | 1;
}

static void name_session(struct engine *e, struct control_slot *w)
{
	struct control_daemon *d = e->daemon;
	uint64_t counter = word_load(&d->counter) + 1, handle = word_load(&d->handle) + 1;

	word_store(&d->counter, counter);
	word_store(&d->handle, handle);
	word_store(&w->id_time, clock_realtime_ns());
	word_store(&w->id_counter, counter);
	word_store(&w->handle, handle);
	word_store(&w->created, clock_realtime_ms());
}

static void fill_record(struct control_slot *w, const struct spawn_request *rq, size_t meta_length)
{
	uint64_t meta_size = (meta_length + 8 + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;

	bool input = rq->stdin_pipe || rq->pty, one = rq->merge || rq->pty;

	word_store(&w->kind, rq->pty ? KIND_PTY : KIND_PIPE);
	word_store(&w->flags, (input ? FLAG_STDIN : 0) | (rq->merge ? FLAG_MERGE : 0) |
				      (rq->spec.header.flags & SPEC_GATE ? FLAG_GATE : 0) |
				      (rq->spec.header.entry.n > 0 ? FLAG_GATE | FLAG_ENTRY : 0));
	word_store(&w->meta_size, meta_size);
	word_store(&w->out_size[STREAM_OUT], rq->backlog);
	word_store(&w->out_size[STREAM_ERR], one ? 0 : rq->backlog);
	word_store(&w->in_size, input ? RING_SIZE_IN : 0);
	word_store(&w->screen_size, rq->pty ? SCREEN_SIZE : 0);
	word_store(&w->window, (uint64_t)rq->rows << 16 | rq->cols);
	word_store(&w->index_size, layout_index_size(rq->backlog * (one ? 1 : 2)));
	word_store(&w->parent, rq->parent);
	for (unsigned i = 0; i < 2; i++) {
		word_store(&w->key_hash[i], rq->key_hash[i]);
		word_store(&w->body_hash[i], rq->body_hash[i]);
	}
}

static int make_memory(struct control_slot *w, const char *meta, size_t n, int *ret_fd,
		       struct error *err)
{
	_cleanup_(closep) int fd = -1;
	struct layout l;
	int r = layout_of(w, &l);

	if (r < 0)
		return error_set(err, ERROR_TOO_LARGE, "the request is too large");
	fd = fd_memfd("reeve-session", l.size);
	if (fd < 0)
		return error_set_errno(err, ERROR_EXHAUSTED, fd, "memory for the session");
	r = meta_store(fd, l.meta, word_load(&w->meta_size), meta, n);
	if (r == -EFBIG)
		return error_set(err, ERROR_TOO_LARGE, "the request is too large");
	if (r < 0)
		return error_set_errno(err, ERROR_EXHAUSTED, r, "memory for the session");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* The child's ends block, ours do not. */
static int make_pipes(const struct spawn_request *rq, struct parcel *p, struct error *err)
{
	int pair[2], r = pipe_make(pair, 1, 0, 0);

	if (r >= 0) {
		p->fds[SLOT_FD_OUT] = pair[0];
		p->fds[SLOT_FD_CHILD_OUT] = pair[1];
		if (!rq->merge)
			r = pipe_make(pair, 1, 0, PIPE_ERR_SIZE);
	}
	if (r >= 0 && !rq->merge) {
		p->fds[SLOT_FD_ERR] = pair[0];
		p->fds[SLOT_FD_CHILD_ERR] = pair[1];
	}
	if (r >= 0 && rq->stdin_pipe) {
		r = pipe_make(pair, 0, 1, PIPE_IN_SIZE);
		if (r >= 0) {
			p->fds[SLOT_FD_CHILD_IN] = pair[0];
			p->fds[SLOT_FD_IN] = pair[1];
		}
	}
	if (r < 0)
		return budget_no_descriptors(r, err);
	return 0;
}

/* The child has the slave three times; the keeper holds one more. */
static int make_terminal(const struct spawn_request *rq, struct parcel *p, struct error *err)
{
	int master, slave, r = pty_make(rq->rows, rq->cols, &master, &slave);

	if (r < 0)
		return budget_no_descriptors(r, err);
	p->fds[SLOT_FD_OUT] = master;
	p->fds[SLOT_FD_SLAVE] = slave;
	for (unsigned i = SLOT_FD_CHILD_IN; i <= SLOT_FD_CHILD_ERR; i++) {
		p->fds[i] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
		if (p->fds[i] < 0)
			return budget_no_descriptors(-errno, err);
	}
	return 0;
}

/* The caller's environment, and which session this is. */
static int make_spec(const struct spawn_request *rq, struct control_slot *w, const char *id,
		     int *ret_fd, struct error *err)
{
	struct spec spec = rq->spec;
	char mine[SESSION_ID_MAX + 16];
	size_t n = 0;
	char **envp;
	int r;

	while (spec.envp[n])
		n++;
	envp = calloc(n + 2, sizeof(*envp));
	if (!envp)
		return error_set(err, ERROR_EXHAUSTED, "no memory for the environment");
	snprintf(mine, sizeof(mine), "REEVE_SESSION=%s", id);
	n = 0;
	for (char *const *p = spec.envp; *p; p++)
		if (strncmp(*p, "REEVE_SESSION=", 14) != 0)
			envp[n++] = *p;
	envp[n] = mine;
	spec.envp = envp;
	spec.header.mark = word_load(&w->mark);
	if (rq->pty)
		spec.header.flags |= SPEC_TERMINAL;
	r = spec_pack(&spec, ret_fd, err);
	free(envp);
	return r;
}

/* Loads the session with its own ends of what is in the parcel. */
static int load(struct engine *e, unsigned slot, struct parcel *p, struct session **ret,
		struct error *err)
{
	bool pty = word_load(&engine_slot(e, slot)->kind) == KIND_PTY;
	uint32_t own = pty ? SESSION_FDS & ~(1U << SLOT_FD_SLAVE) : SESSION_FDS;
	int fds[N_SLOT_FDS];

	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		fds[i] = own & 1U << i ? p->fds[i] : -1;
	p->lent = own;
	return session_load(e, slot, fds, ret, err);
}

/* From here on the session exists: complete record first, then the keeper is told. */
static int launch(struct engine *e, unsigned slot, struct parcel *p, const struct spawn_request *rq,
		  struct session **ret, struct error *err)
{
	struct control_slot *w = engine_slot(e, slot);
	struct session *s;
	int r = load(e, slot, p, &s, err);

	if (r < 0)
		return r;
	word_store(&w->on_disconnect, rq->end_with_client);
	word_store(&w->ttl, rq->has_ttl ? 1 + rq->ttl_ms : 0);
	if (rq->with_pid > 0 && owner_tie(s, rq->with_pid) < 0) {
		session_discard(s);
		return error_set(err, ERROR_INVALID_ARGUMENT, "withPid: there is no process %d",
				 (int)rq->with_pid);
	}
	if (rq->attach != ATTACH_NONE) {
		attachment_register(s, rq->token, rq->attach, rq->peer);
		attachment_lease_check(s);
	}
	if (rq->timeout_ms > 0)
		word_store(&w->timeout_at, clock_boottime_ms() + rq->timeout_ms);
	word_store(&w->state, SLOT_LIVE);
	roster_note(
		e,
		s); /* before there can be a process, and only with a record by which to clear it */
	r = launch_begin(s, p->fds, err);
	if (r < 0) {
		word_store(&w->state, SLOT_FREE);
		roster_clear(e, slot);
		session_discard(s);
		return r;
	}
	session_set_starting(s, true);
	*ret = s;
	return 0;
}

static int build(struct engine *e, unsigned slot, const struct spawn_request *rq, const char *meta,
		 size_t n_meta, struct session **ret, struct error *err)
{
	_cleanup_(parcel_done) struct parcel p;
	struct control_slot *w = engine_slot(e, slot);
	char id[SESSION_ID_MAX];
	uint32_t leaf;
	int r;

	parcel_init(&p);
	name_session(e, w);
	fill_record(w, rq, n_meta);
	word_store(&w->mark, make_mark());
	slot_id(w, id);
	r = make_memory(w, meta, n_meta, &p.fds[SLOT_FD_MEMORY], err);
	if (r >= 0)
		r = rq->pty ? make_terminal(rq, &p, err) : make_pipes(rq, &p, err);
	if (r >= 0)
		r = make_spec(rq, w, id, &p.fds[SLOT_FD_SPEC], err);
	if (r < 0)
		return r;
	if (r >= 0 && rq->observe)
		r = observe_make(rq->observe, &p.fds[SLOT_FD_EVENTS], err);
	leaf = cgroups_take(e, &p.fds[SLOT_FD_CGROUP]);
	word_store(&w->cgroup, leaf);
	r = launch(e, slot, &p, rq, ret, err);
	if (r < 0)
		cgroups_drop(e, leaf);
	return r;
}

static int choose_name(struct engine *e, const struct spawn_request *rq, struct error *err)
{
	char made[SESSION_NAME_MAX + 1];
	const char *name = rq->name;
	struct session *holder;
	int r;

	if (name) {
		r = name_check(name, err);
		if (r < 0)
			return r;
		holder = session_by_name(e, name);
		if (holder)
			return error_set(
				err, ERROR_ALREADY_EXISTS,
				"the name \"%s\" belongs to the live session %s; stop that one "
				"first, or use --replace",
				name, holder->id);
	} else {
		name_make(e, rq->spec.argv[0], made);
		name = made;
	}
	json_object_set_new(rq->meta, "name", json_string(name));
	return 0;
}

int session_spawn(struct engine *e, const struct spawn_request *rq, struct session **ret,
		  struct error *err)
{
	_cleanup_(freep) char *meta = NULL;
	unsigned slot;
	int r;

	if (e->quitting != QUIT_NOT)
		return error_set(err, ERROR_UNAVAILABLE, "the daemon is stopping");
	if (e->spawns >= ENGINE_SPAWNS_MAX)
		return error_set(err, ERROR_RATE_LIMITED,
				 "%u commands are being started already; try again", e->spawns);
	r = budget_check(e, err);
	if (r >= 0)
		r = choose_name(e, rq, err);
	if (r < 0)
		return r;
	meta = json_dumps(rq->meta, JSON_COMPACT);
	if (!meta)
		return error_set(err, ERROR_EXHAUSTED, "no memory for the session");
	slot = slot_reserve(e, err);
	if (slot == 0)
		return -ENOSPC;
	r = build(e, slot, rq, meta, strlen(meta), ret, err);
	return r == -EMFILE ? budget_no_descriptors(r, err) : r;
}

int session_make_record(struct engine *e, unsigned slot, const char *meta, struct session **ret,
			struct error *err)
{
	_cleanup_(parcel_done) struct parcel p;
	struct control_slot *w = engine_slot(e, slot);
	uint64_t kind = word_load(&w->kind);
	struct spawn_request none = { .backlog = RING_SIZE_MIN, .merge = kind == KIND_PTY };
	int r;

	parcel_init(&p);
	for (unsigned i = 0; i < 2; i++) {
		none.key_hash[i] = word_load(&w->key_hash[i]);
		none.body_hash[i] = word_load(&w->body_hash[i]);
	}
	fill_record(w, &none, strlen(meta));
	word_store(&w->kind, kind);
	r = make_memory(w, meta, strlen(meta), &p.fds[SLOT_FD_MEMORY], err);
	if (r >= 0)
		r = load(e, slot, &p, ret, err);
	if (r < 0)
		return r;
	word_store(&w->state, SLOT_LIVE);
	return launch_record(*ret, p.fds, err);
}
