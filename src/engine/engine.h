/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - the replaceable part of the daemon: one thread, one event loop.
 *
 * It holds nothing that cannot be rebuilt from the slots. */
#pragma once
#include "base/error.h"
#include "core/capture.h"
#include "core/control.h"
#include "core/feed.h"
#include "core/link.h"
#include "core/ttywait.h"
#include "engine/direct.h"
#include "engine/flood.h"
#include "engine/pace.h"
#include "engine/settings.h"
#include <uv.h>

#define ENGINE_SPAWNS_MAX 64U /* in flight at the keeper, as its KEEPER_JOBS */
#define CGROUP_POOL       8U
#define LOOKUP_PLACES     1024U

struct session;
struct http_server;

struct link {
	int sock; /* -1 while there is no keeper */
	uv_poll_t poll;
	pid_t keeper;
	bool polling;
};

struct cgroup_pool {
	uint32_t leaves[CGROUP_POOL];
	unsigned n;
	uv_idle_t refill;
	uint32_t *doomed; /* leaves that could not be removed yet */
	unsigned n_doomed, max_doomed;
	uv_timer_t sweep;
};

/* Chains of sessions that hash alike. One that has ended leaves `by_name` when it is met there. */
struct lookup {
	struct session *by_id[LOOKUP_PLACES];
	struct session *by_key[LOOKUP_PLACES];  /* those made with an idempotency key */
	struct session *by_name[LOOKUP_PLACES]; /* live ones */
	unsigned last_number[LOOKUP_PLACES];    /* of names like `make-17`, by `make` */
};

struct roster {
	int fd; /* -1 for none */
};

struct engine {
	uv_loop_t loop;
	struct direct_waits direct;
	const char *dir;
	char *keeper_path;
	int keeper_file; /* its program, open; -1: what lies there */
	struct link link;
	void *memory;
	struct control_daemon *daemon;
	int daemon_fds[N_DAEMON_FDS];
	int reads_fd; /* the ring of reads (uring_read.h) that was inherited; -1 for none */
	struct capture capture;
	struct feed feed;
	struct session *slots[CONTROL_SLOTS]; /* by slot number; NULL: none */
	struct session *first, *last;         /* by age, oldest first */
	struct lookup lookup;
	unsigned n_sessions, n_live;
	unsigned spawns; /* at the keeper, not answered */
	bool in_a_hurry; /* has a short slice for them */
	struct cgroup_pool cgroups;
	struct roster roster;
	struct http_server *http;
	/* another socket is put under the number of DAEMON_FD_LISTEN between the two */
	void (*stop_listening)(struct engine *e), (*listen_again)(struct engine *e);
	uv_timer_t housekeeping, leaving;
	struct listeners *listeners;     /* listeners.c; made when first needed */
	struct observatory *observatory; /* observe.h; made when first needed */
	struct {
		struct pace pace;
		struct tty_groups groups;
		unsigned n_waits; /* for `input` */
	} typing;
	uv_signal_t sigterm;
	enum quit_mode quitting;
	bool going; /* all that was to end has ended */
	struct settings settings;
	uint64_t retained, retained_max; /* bytes of output in all rings, and their budget */
	uint64_t last_busy; /* monotonic ms when a session or a connection was last there */
	uint32_t free_hint; /* no slot up to this one is free */
	struct {
		const struct stream *stream; /* only compared */
		uint64_t since;              /* loop time in ms */
	} alone; /* what nothing but output of this stream has happened since, output.c */
	struct flood flood;
	unsigned drawing;        /* screens that are asked for, screen.c */
	struct drawers *drawers; /* drawer.h; made when first needed */
};

static inline struct control_slot *engine_slot(struct engine *e, unsigned i)
{
	return control_slot(e->memory, i);
}

/* --- link.c: the keeper ----------------------------------------------------------------------- */

/* Says hello on `sock`, receives the daemon's descriptors and maps control memory. Blocking. */
int link_open(struct engine *e, int sock, struct error *err);
/* Asks for one slot's descriptors. Blocking; used before the loop runs. */
int link_pull(struct engine *e, unsigned slot, int fds[N_SLOT_FDS]);
/* From now on messages are handled by the loop. */
/* Asks for what is kept in a place (kept.h); -1 for nothing. Blocking; used before the loop runs.
 */
int link_fetch(struct engine *e, unsigned place, int *ret_fd);
int link_run(struct engine *e);
/* Sends; a keeper that is gone is replaced soon after, and then looks at the words itself. */
void link_tell(struct engine *e, enum link_type type, unsigned slot, uint64_t arg);
int link_tell_fds(struct engine *e, const struct link_message *m, const int table[N_LINK_FDS]);

/* --- life.c -------------------------------------------------------------------------------------
 */

/* Takes the daemon over from the keeper at `sock` and loads all slots. */
int engine_load(struct engine *e, int sock, struct error *err);
/* Runs the loop until the end. */
int engine_run(struct engine *e, struct error *err);
/* Ends the daemon: takes no new session, ends (or keeps) those there are, leaves when done. */
void engine_quit(struct engine *e, enum quit_mode mode);
/* A session ended, a tree went: the end of the daemon may have come. */
void engine_check_quit(struct engine *e);

/* --- housekeeping.c: ended sessions go by age and number, or by their own ttl
 * ------------------------- */
void housekeeping_init(struct engine *e);
/* A session has ended or gone: looks within a second. */
void housekeeping_soon(struct engine *e);

/* --- cgroups.c ----------------------------------------------------------------------------------
 */
void cgroups_init(struct engine *e);
/* A fresh leaf and a descriptor of its directory; 0 and -1 where sessions have no cgroup. */
uint32_t cgroups_take(struct engine *e, int *ret_dir);
/* Removes it, at once or when its last process is reaped. */
void cgroups_drop(struct engine *e, uint32_t leaf);
void cgroups_done(struct engine *e);

/* --- roster.c: what the next daemon must know when keeper and engine die together
 * ------------------ */
int roster_open(struct engine *e, struct error *err);
void roster_note(struct engine *e, const struct session *s);
void roster_clear(struct engine *e, unsigned slot);
/* The sessions of a daemon that died as a whole: ends what is left of them, lists them as lost. */
void roster_recover(struct engine *e);
uint64_t roster_next_handle(struct engine *e);
