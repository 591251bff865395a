/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - one way of seeing what processes do: a file with a table of functions.
 *
 * A backend is tried out (probe), then started once for each session it serves: a *run*. It gives
 * its events to the run's sink, from host_dispatch() or from note(), in the order in which they
 * happened as far as it can know, and counts what it lost. One thread: that of the host. */
#pragma once
#include "base/error.h"
#include "core/entry.h"
#include "observe/event.h"
#include "observe/host.h"
#include <sys/types.h>

#define BACKEND_REASON_MAX 384U
#define BACKEND_RINGS      2U
#define BACKEND_PENDING    128U

struct backend;
struct backend_run;

/* What a backend can do here for one category; "no" unless it says otherwise. */
struct backend_support {
	enum reeve_support support;
	char reason[BACKEND_REASON_MAX]; /* supported: what is seen; else what is not, or why */
};

/* Whether each call is told of, or totals of each open file and socket. */
enum backend_detail {
	DETAIL_TOTALS,
	DETAIL_EACH,
};

/* What is observed. */
struct backend_target {
	uint32_t session;     /* the caller's number for it, above 0, unique in a host */
	bool everything;      /* every process of the machine instead of a tree */
	pid_t leader;         /* 0: not known yet, told by NOTE_LEADER */
	bool gated;           /* the leader waits at its gate: nothing it does was missed */
	uint32_t cgroup_leaf; /* of the host's cgroup directory; 0 for none */
	uint64_t mark;        /* RLIMIT_LOCKS of the tree, core/tree.h; 0 for none */
	unsigned categories;  /* set of category_bit() */
	enum backend_detail detail;
	bool forks_only; /* of processes: another backend tells what they execute. What a process is
			  * called from then on (comm) may still be told, and nothing more of it. If
			  * so, it is told of each further name, too, or else `unsure` */
	bool resume;     /* a predecessor observed it: what was kept is taken up again */
	uint64_t after[BACKEND_RINGS]; /* resume: what lies before was delivered by the predecessor
					*/
	bool prepared;                 /* the leader did what prepare asked for */
	int listener;  /* of the filter that the leader installed, see prepare; 0: none, or a
			* negative errno: why it is not here. Borrowed */
	void *pending; /* BACKEND_PENDING bytes that outlive the engine, aligned to 8, first all
			* zero: what it was about to answer. NULL: nothing outlives this process */
};

/* Where an event came from, in what outlives the engine: `next` is the place behind it in `ring`.
 * Stored together with the event, and given back as `after[ring]`, it makes that an event which
 * was stored is not delivered again, and any other is. `ring` is BACKEND_RINGS for an event
 * that does not outlive the engine until it is stored. */
struct backend_origin {
	unsigned ring;
	uint64_t next;
};

struct backend_sink {
	/* `e` and its texts are valid during the call. The sink fills in `seq` and `source`. */
	void (*event)(void *userdata, struct reeve_event *e, const struct backend_origin *origin);
	/* `n` events of a category happened and will not be delivered. */
	void (*missed)(void *userdata, enum reeve_category category, uint64_t n);
	void *userdata;
};

enum note_what {
	NOTE_LEADER,  /* `pid` is the leader; at the gate when `gated` was said, else running */
	NOTE_STARTED, /* its execve succeeded, or it began by other means */
	NOTE_EXITED,  /* it was reaped; `exit_code` as in events */
};

struct backend_note {
	enum note_what what;
	pid_t pid;
	int exit_code;
	uint64_t timestamp_ms; /* 0: now */
};

struct backend {
	const char *name;
	unsigned categories; /* those it could ever serve: set of category_bit() */
	bool on_request;     /* never chosen unless it is named */
	bool durable;        /* resumed, it loses nothing, or counts what it lost */

	/* Loads, attaches, makes it fire, sees the event; leaves nothing behind. Fills `ret` for
	 * its categories. `cgroup_dir`: of the sessions; -1 for none. */
	void (*probe)(enum reeve_scope scope, int cgroup_dir,
		      struct backend_support ret[REEVE_CATEGORIES]);

	/* What the leader has to do itself before its execve, for these categories. May be NULL:
	 * nothing, any process can be observed from any time on. Else only a process that did. */
	void (*prepare)(unsigned categories, struct entry *ret);

	/* `run->host`, `target`, `sink` are filled in; `run->state` is the backend's. When it fails
	 * nothing is left. */
	int (*start)(struct backend_run *run, struct error *e);

	/* May be NULL, as all that follow. */
	void (*note)(struct backend_run *run, const struct backend_note *note);

	/* Delivers what has happened until now, and all loss. */
	void (*flush)(struct backend_run *run);

	/* Makes processes wait before their next calls of these categories, or go on; what is under
	 * way may still be delivered. NULL: nothing here can wait. */
	unsigned pausable;
	void (*pause)(struct backend_run *run, bool paused);

	/* Ends the run; delivers nothing. */
	void (*stop)(struct backend_run *run);

	/* Observes another set of categories from now on, without a gap in those that stay. NULL:
	 * the run is to be stopped, and another started. */
	int (*change)(struct backend_run *run, unsigned categories, enum backend_detail detail);

	/* All runs of a predecessor that go on were started: forgets the others. */
	void (*settled)(struct host *h, void *shared);

	/* Ends what its runs shared: host_shared(). */
	void (*close)(struct host *h, void *shared);
};

struct backend_run {
	const struct backend *backend;
	struct host *host;
	struct backend_target target;
	struct backend_sink sink;
	void *state;
	void (*unsure)(struct backend_run *run); /* NULL, or of forks only: what was told of names
						  * may not be so any more */
	bool own_only; /* by start: what runs with other rights than the user's is not told */
	uint32_t tier; /* by start: how the backend does it, where it has several ways */
	int refused;   /* by start: why not in the better way, a negative errno */
};

/* To the run's sink. */
void run_event(struct backend_run *run, struct reeve_event *e, const struct backend_origin *origin);
void run_missed(struct backend_run *run, enum reeve_category category, uint64_t n);

/* Sets support and reason of each category of a set. */
void support_set(struct backend_support ret[REEVE_CATEGORIES], unsigned categories,
		 enum reeve_support support, const char *format, ...) _printf_(4, 5);

static inline bool run_wants(const struct backend_run *run, enum reeve_category category)
{
	return (run->target.categories & category_bit(category)) != 0;
}

/* --- the backends there are ------------------------------------------------------------------ */

extern const struct backend backend_portable_lifecycle;
extern const struct backend backend_ebpf;
extern const struct backend backend_ptrace;
extern const struct backend backend_seccomp_user_notify;
extern const struct backend backend_fanotify;
extern const struct backend backend_perf;
extern const struct backend backend_proc_connector;
extern const struct backend backend_subreaper_proc_poll;

/* All that were built, best first: the ladder. NULL-terminated. */
extern const struct backend *const backends[];

/* Those of them without prepare: for a process that was started without. */
extern const struct backend *const backends_unprepared[];

/* NULL when there is none of that name. */
const struct backend *backend_find(const char *name);
