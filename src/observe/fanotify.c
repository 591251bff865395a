/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `fanotify`: the kernel tells of what happens in whole file systems (fanotify(7)), one
 * group for all sessions. Which processes are of a session is told by the proc connector: a fork
 * comes before what the child does, so the connector is read after the files and before they are
 * told of. Who has ended is remembered for a while, because what it did may be read later. */
#include "base/clock.h"
#include "base/fd.h"
#include "core/tree.h"
#include "observe/details.h"
#include "observe/fan_paths.h"
#include "observe/pidset.h"
#include "observe/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>

#define READ_BYTES   65536U
#define READS_A_TURN 16U
#define ENDED_MAX    4096U
#define ENDED_MS     5000U
#define INIT_FLAGS   (FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME)
#define MASK                                                                                       \
	(FAN_OPEN | FAN_CLOSE_WRITE | FAN_CLOSE_NOWRITE | FAN_CREATE | FAN_DELETE | FAN_RENAME |   \
	 FAN_ONDIR)

struct watcher;

struct fan_run {
	struct fan_run *next;
	struct watcher *watcher;
	struct backend_run *run;
	struct pidset pids;
	struct {
		pid_t pid;
		uint64_t at; /* monotonic ms */
	} ended[ENDED_MAX];  /* a ring: the oldest goes when there is no room */
	unsigned first, n_ended;
	struct backend_run forks; /* of the proc connector */
};

/* What the runs share. */
struct watcher {
	struct watch watch;
	struct host *host;
	struct fan_mounts mounts;
	struct fan_run *runs;
	char path[PATH_MAX], path2[PATH_MAX];
	_Alignas(8) char bytes[READ_BYTES];
};

/* --- whose ----------------------------------------------------------------------------------- */

static void on_process(void *userdata, struct reeve_event *e,
		       const struct backend_origin *origin _unused_)
{
	struct fan_run *f = userdata;

	if (e->kind == REEVE_FORKED && pidset_add(&f->pids, e->child_pid) < 0)
		run_missed(f->run, REEVE_FILE, 1);
	if (e->kind != REEVE_EXITED)
		return;
	if (f->n_ended == ENDED_MAX) {
		(void)pidset_remove(&f->pids, f->ended[f->first].pid);
		f->first = (f->first + 1) % ENDED_MAX;
		f->n_ended--;
	}
	f->ended[(f->first + f->n_ended) % ENDED_MAX].pid = e->pid;
	f->ended[(f->first + f->n_ended++) % ENDED_MAX].at = clock_monotonic_ms();
}

static void on_process_missed(void *userdata, enum reeve_category category _unused_, uint64_t n)
{
	struct fan_run *f = userdata;

	run_missed(f->run, REEVE_FILE, n); /* what these processes do will not be told */
}

static void forget_ended(struct fan_run *f)
{
	uint64_t now = clock_monotonic_ms();

	while (f->n_ended > 0 && now - f->ended[f->first].at > ENDED_MS) {
		(void)pidset_remove(&f->pids, f->ended[f->first].pid);
		f->first = (f->first + 1) % ENDED_MAX;
		f->n_ended--;
	}
}

static int add_member(const struct tree_member *m, void *userdata)
{
	struct fan_run *f = userdata;

	return pidset_add(&f->pids, m->pid);
}

/* --- events ---------------------------------------------------------------------------------- */

static const struct {
	uint64_t mask;
	enum reeve_kind file, directory;
} kinds[] = {
	{ FAN_CREATE, REEVE_CREATED, REEVE_MKDIR },  { FAN_OPEN, REEVE_OPENED, REEVE_OPENED },
	{ FAN_CLOSE, REEVE_CLOSED, REEVE_CLOSED },   { FAN_RENAME, REEVE_RENAMED, REEVE_RENAMED },
	{ FAN_DELETE, REEVE_UNLINKED, REEVE_RMDIR },
};

static void tell(struct fan_run *f, const struct fanotify_event_metadata *m, const char *path,
		 const char *path2)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct reeve_event e;

		if ((m->mask & kinds[i].mask) == 0)
			continue;
		event_init(&e, REEVE_FILE,
			   (m->mask & FAN_ONDIR) != 0 ? kinds[i].directory : kinds[i].file, m->pid);
		e.path = path;
		e.path2 = kinds[i].mask == FAN_RENAME ? path2 : NULL;
		e.fields |= (e.path ? REEVE_HAS_PATH : 0U) | (e.path2 ? REEVE_HAS_PATH2 : 0U);
		run_event(f->run, &e, NULL);
	}
}

/* The paths among the information records of one event, which stands at `at`. */
static void find_paths(struct watcher *w, const struct fanotify_event_metadata *m, const char *at,
		       bool has[2])
{
	const char *end = at + m->event_len;

	at += m->metadata_len;
	has[0] = has[1] = false;
	while (at + sizeof(struct fanotify_event_info_fid) <= end) {
		const struct fanotify_event_info_fid *info = (const void *)at;

		if (info->hdr.len < sizeof(*info) || info->hdr.len > (size_t)(end - at))
			return;
		if (info->hdr.info_type == FAN_EVENT_INFO_TYPE_NEW_DFID_NAME)
			has[1] = fan_path(&w->mounts, info, w->path2);
		else
			has[0] = fan_path(&w->mounts, info, w->path);
		at += info->hdr.len;
	}
}

static void take_event(struct watcher *w, const struct fanotify_event_metadata *m, const char *at)
{
	bool has[2], found = false;

	for (struct fan_run *f = w->runs; f; f = f->next) {
		if ((m->mask & FAN_Q_OVERFLOW) != 0) {
			run_missed(f->run, REEVE_FILE, 1);
			continue;
		}
		if (!f->run->target.everything && !pidset_has(&f->pids, m->pid))
			continue;
		if (!found)
			find_paths(w, m, at, has);
		found = true;
		tell(f, m, has[0] ? w->path : NULL, has[1] ? w->path2 : NULL);
	}
}

/* Returns how many events there were. */
static unsigned read_some(struct watcher *w)
{
	ssize_t n = read(w->watch.fd, w->bytes, sizeof(w->bytes));
	struct fanotify_event_metadata m; /* they stand at multiples of 4 */
	unsigned count = 0;

	if (n <= 0)
		return 0;
	for (struct fan_run *f = w->runs; f; f = f->next) {
		if (f->forks.backend)
			f->forks.backend->flush(&f->forks);
	}
	for (const char *at = w->bytes, *end = at + n; end - at >= (ssize_t)sizeof(m);
	     at += m.event_len, count++) {
		memcpy(&m, at, sizeof(m));
		if (m.event_len < sizeof(m) || m.event_len > (size_t)(end - at))
			break;
		take_event(w, &m, at);
	}
	for (struct fan_run *f = w->runs; f; f = f->next)
		forget_ended(f);
	return count;
}

static void on_events(struct watch *watch)
{
	struct watcher *w = container_of(watch, struct watcher, watch);

	for (unsigned i = 0; i < READS_A_TURN && read_some(w) > 0; i++)
		continue;
}

/* What happens meanwhile, wherever it does, is not waited for: it may have no end. Of each event
 * that waits the kernel counts no more than the head (fanotify_ioctl()). */
static void flush(struct backend_run *run)
{
	struct fan_run *f = run->state;
	unsigned n, count = 0;
	int bytes = 0;

	if (ioctl(f->watcher->watch.fd, FIONREAD, &bytes) < 0)
		return;
	while (count < (unsigned)bytes / FAN_EVENT_METADATA_LEN && (n = read_some(f->watcher)) > 0)
		count += n;
}

/* --- runs ------------------------------------------------------------------------------------ */

static void close_shared(struct host *h, void *shared)
{
	struct watcher *w = shared;

	host_unwatch(h, &w->watch);
	fd_close(w->watch.fd);
	fan_mounts_done(&w->mounts);
	free(w);
}

static int refuse(struct error *e, int r)
{
	if (r == -EPERM && geteuid() == 0)
		return error_set(
			e, ERROR_UNAVAILABLE,
			"watching file systems needs CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH "
			"outside of all user namespaces, which this root lacks, as in a "
			"container: run the daemon outside of it");
	if (r == -EPERM)
		return error_set(e, ERROR_UNAVAILABLE,
				 "watching file systems needs CAP_SYS_ADMIN and "
				 "CAP_DAC_READ_SEARCH: run the daemon as root");
	if (r == -EINVAL || r == -ENOSYS)
		return error_set(e, ERROR_UNAVAILABLE,
				 "fanotify: the kernel has no names in it (Linux 5.17)");
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "fanotify");
}

static int open_shared(struct host *h, struct watcher **ret, struct error *e)
{
	void **shared = host_shared(h, &backend_fanotify);
	struct watcher *w = *shared;
	int r;

	if (w) {
		*ret = w;
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		refuse(e, -ENOMEM);
		return -ENOMEM;
	}
	w->host = h;
	w->watch = (struct watch){ fanotify_init(INIT_FLAGS, O_RDONLY | O_CLOEXEC), on_events,
				   false, 0 };
	r = w->watch.fd < 0 ? -errno : fan_mounts_mark(&w->mounts, w->watch.fd, MASK);
	if (r >= 0)
		r = host_watch(h, &w->watch);
	if (r < 0) {
		fd_close(w->watch.fd);
		fan_mounts_done(&w->mounts);
		free(w);
		refuse(e, r);
		return r;
	}
	*shared = *ret = w;
	return 0;
}

static int start_forks(struct fan_run *f, struct error *e)
{
	f->forks = (struct backend_run){
		.backend = &backend_proc_connector,
		.host = f->run->host,
		.target = f->run->target,
		.sink = { on_process, on_process_missed, f },
	};
	f->forks.target.categories = category_bit(REEVE_PROCESS);
	return f->forks.backend->start(&f->forks, e);
}

static void learn(struct fan_run *f)
{
	const struct backend_target *target = &f->run->target;
	struct tree tree = { .mark = target->mark,
			     .cgroup_dir =
				     target->cgroup_leaf != 0 ? host_cgroup_dir(f->run->host) : -1,
			     .cgroup_leaf = target->cgroup_leaf,
			     .leader = target->leader };

	if (pidset_add(&f->pids, target->leader) < 0 ||
	    ((!target->gated || target->resume) && tree_each(&tree, 1, NULL, add_member, f) < 0))
		run_missed(f->run, REEVE_FILE, 1);
}

static int start(struct backend_run *run, struct error *e)
{
	struct fan_run *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return refuse(e, -ENOMEM);
	f->run = run;
	r = open_shared(run->host, &f->watcher, e);
	if (r >= 0 && !run->target.everything)
		r = start_forks(f, e);
	if (r < 0) {
		free(f);
		return r;
	}
	if (!run->target.everything && run->target.leader > 0)
		learn(f);
	run->state = f;
	f->next = f->watcher->runs;
	f->watcher->runs = f;
	return 0;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct fan_run *f = run->state;

	if (f->forks.backend && f->forks.backend->note)
		f->forks.backend->note(&f->forks, n);
	if (n->what != NOTE_LEADER || run->target.leader != 0 || run->target.everything)
		return;
	run->target.leader = n->pid;
	learn(f);
}

static void stop(struct backend_run *run)
{
	struct fan_run *f = run->state, **place = &f->watcher->runs;
	struct watcher *w = f->watcher;

	while (*place != f)
		place = &(*place)->next;
	*place = f->next;
	if (f->forks.backend)
		f->forks.backend->stop(&f->forks);
	pidset_done(&f->pids);
	free(f);
	run->state = NULL;
	if (!w->runs) { /* the marks cost every process of the machine */
		*host_shared(run->host, &backend_fanotify) = NULL;
		close_shared(run->host, w);
	}
}

static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	trial_probe(&backend_fanotify, scope, cgroup_dir, category_bit(REEVE_FILE),
		    KIND_BIT(REEVE_OPENED), REEVE_PARTIAL,
		    "what succeeded, in local file systems mounted before: like events are merged, "
		    "paths in directories that are gone are missed; executed files are opened; no "
		    "results, bytes, links, modes, truncation or mapping; sees io_uring",
		    ret);
}

const struct backend backend_fanotify = {
	.name = "fanotify",
	.categories = 1U << REEVE_FILE,
	.probe = probe,
	.start = start,
	.note = note,
	.flush = flush,
	.stop = stop,
	.close = close_shared,
};
