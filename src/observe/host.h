/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - what the backends of one process share: its descriptors to wait for, state that serves
 * several sessions, descriptors that must outlive the process. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define HOST_HELD_MAX 512U
#define HELD_NAME_MAX 48U
#define HOST_STATES   16U /* more than there are backends */

struct backend;
struct host;
struct watch;

/* Descriptors that must not be closed when the engine dies, so that no event is lost and none
 * comes twice. Names are unique in a host: "s12/..." belongs to session 12, all others to the
 * daemon. `hold` is called before anything depends on the descriptor; whoever keeps it makes a
 * copy. `release`: it is of no more use. */
struct host_keeping {
	void (*hold)(void *userdata, const char *name, int fd);
	void (*release)(void *userdata, const char *name);
	void *userdata;
};

/* `cgroup_dir` (borrowed, -1 for none) is the directory of the sessions' cgroups. `keeping` may be
 * NULL: nothing outlives this process. -ENOMEM, -EMFILE. */
int host_new(struct host **ret, int cgroup_dir, const struct host_keeping *keeping);

/* Ends all that is shared; the runs must have been stopped. Held descriptors are closed here, and
 * not released. Returns NULL. */
struct host *host_free(struct host *h);

/* Readable when host_dispatch() has something to do. */
int host_fd(const struct host *h);

/* Does a bounded amount of work, and never waits. */
void host_dispatch(struct host *h);

/* A loop that waits for host_fd() may wait for some descriptors without that detour: it calls
 * `ready` from `watch` to `unwatch`. Set before any run is started. */
struct host_loop {
	int (*watch)(void *userdata, struct watch *w);
	void (*unwatch)(void *userdata, struct watch *w);
	void *userdata;
};

void host_set_loop(struct host *h, const struct host_loop *loop);

/* Who may open what the system keeps from this process, because it is no ancestor of the processes
 * that it observes: core/lend.h. None at first. */
struct host_lender {
	/* Is not to wait. What comes of it goes to host_lent(). */
	void (*ask)(void *userdata, uint32_t ticket, int32_t of, int number);
	void *userdata;
};

/* For tests: nothing is tried without the lender (REEVE_MEMORY=keeper). */
bool host_only_lends(void);

void host_set_lender(struct host *h, const struct host_lender *lender);

/* What was asked for with this ticket; takes `fd` over; negative: it is refused. */
void host_lent(struct host *h, uint32_t ticket, int fd);

/* Whoever was asked may never answer: asks for all that has not come, with other tickets. */
void host_ask_again(struct host *h);

int host_cgroup_dir(const struct host *h);

/* Whom a backend tells what goes wrong with a session that it observes; nobody at first. */
void host_listen(struct host *h,
		 void (*complain)(void *userdata, uint32_t session, const char *text),
		 void *userdata);

/* --- for a successor ------------------------------------------------------------------------- */

/* Gives back a descriptor that was held under `name`; before any run is started. Takes it over, on
 * failure too. -EEXIST, -ENOSPC, -EINVAL (name). */
int host_restore(struct host *h, const char *name, int fd);

/* All runs are started: what nobody asked for is released and closed. */
void host_settled(struct host *h);

/* --- for backends ---------------------------------------------------------------------------- */

struct watch {
	int fd;
	void (*ready)(struct watch *w);
	bool edge;
	short seen; /* what poll(2) has just told the loop of the descriptor; 0: not known */
};

/* Calls `ready` whenever the descriptor is readable or hangs up; with `edge` once each time it
 * becomes so. */
int host_watch(struct host *h, struct watch *w);
void host_unwatch(struct host *h, struct watch *w);

/* The same for a process that waits to be answered: the loop waits for the descriptor itself where
 * it can, which wakes us sooner than through host_fd(). Sets `seen` where it did. */
int host_watch_direct(struct host *h, struct watch *w);
void host_unwatch_direct(struct host *h, struct watch *w);

/* Called in each host_dispatch(), after the watches, and by host_look(). For descriptors whose
 * readiness is gone once somebody has asked for it (perf's), as the loop that waits for host_fd()
 * does. */
struct hook {
	struct hook *next, **back;
	void (*look)(struct hook *k);
};

void host_hook(struct host *h, struct hook *k);
void host_unhook(struct hook *k);

/* For a loop that asked whether host_fd() is readable, was told so, and does not remember it. */
void host_look(struct host *h);

void host_complain(struct host *h, uint32_t session, const char *text);

/* The state that the runs of a backend share; NULL at first. */
void **host_shared(struct host *h, const struct backend *backend);

/* Names a descriptor that must outlive this process. It stays the caller's. */
int host_hold(struct host *h, const char *name, int fd);
void host_release(struct host *h, const char *name);

/* A restored descriptor, the caller's from now on and held as before; -ENOENT when there is none.
 */
int host_held(struct host *h, const char *name);

/* Something of another process, asked of the lender. */
struct borrowing {
	struct borrowing *next, **back; /* NULL: it is not under way */
	uint32_t ticket;
	int32_t of; /* whose: a thread, or for a descriptor a process */
	int number; /* of the descriptor; negative: the memory */
	/* Called once, from the loop. `fd` is the callee's; negative: it is refused. */
	void (*lent)(struct borrowing *b, int fd);
};

/* Whether there is one; and whether it is to be asked for all. */
bool host_lends(const struct host *h);
bool host_lends_all(const struct host *h);

/* There must be a lender. */
void host_borrow(struct host *h, struct borrowing *b);

/* It is not wanted any more; nothing happens where it is not under way. */
void host_unborrow(struct borrowing *b);
