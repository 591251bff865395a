/* SPDX-License-Identifier: Apache-2.0 */
/* reeve/observer.h - what processes do: categories, what of them can be seen here, events.
 *
 * Functions that can fail return 0 or a negative errno and leave their `ret` alone on failure. Any
 * pointer to an object may be NULL where it is freed or closed. Strings are NUL-terminated;
 * those that come from the kernel or from a process (paths, names, arguments) are bytes, not
 * necessarily UTF-8.
 *
 * All enumerations may grow: tolerate values you do not know. Structures that the library hands
 * out may grow at their end: never copy one by value or build one to hand in. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- categories ------------------------------------------------------------------------------ */

/* In this order wherever they are listed. */
enum reeve_category {
	REEVE_LIFECYCLE = 0, /* a command started, and exited */
	REEVE_FILE = 1,      /* opened, closed, renamed, removed, ... */
	REEVE_NETWORK = 2,   /* connected, bound, accepted, closed, ... */
	REEVE_PROCESS = 3,   /* forks, executions and exits of all descendants */
};

#define REEVE_CATEGORIES 4U /* those this header knows */

enum reeve_support {
	REEVE_SUPPORTED = 0,   /* fully observable here, by this user */
	REEVE_PARTIAL = 1,     /* observable, with the gaps that the reason names */
	REEVE_UNAVAILABLE = 2, /* the reason says what is in the way, and what would help */
};

/* Whose processes are asked about. */
enum reeve_scope {
	REEVE_LAUNCHED_TREE = 0, /* what reeve started, and all that descends from it */
	REEVE_SYSTEM_WIDE = 1,   /* every process of the machine */
};

/* "lifecycle", "file", "network", "process"; NULL for a value that is none. Static. */
const char *reeve_category_name(enum reeve_category category);

/* The inverse. -EINVAL for a name that is none. */
int reeve_category_parse(const char *name, enum reeve_category *ret);

/* "supported", "partial", "unavailable"; NULL for a value that is none. Static. */
const char *reeve_support_name(enum reeve_support support);

/* "launched-tree", "system-wide"; NULL for a value that is none. Static. */
const char *reeve_scope_name(enum reeve_scope scope);

/* --- capabilities ---------------------------------------------------------------------------- */

struct reeve_capability {
	enum reeve_category category;
	enum reeve_support support;
	const char *backend; /* what serves it, or would: "ebpf", "none", ... */
	const char *reason;  /* one line a person can act on; never empty */
};

/* One entry a category, each exactly once, in the order above. */
struct reeve_capabilities;

/* Tries out what this process may observe: each backend is loaded, attached, made to fire and
 * read, until one gives everything. Takes up to some seconds, so keep the result. Starts processes
 * of its own and waits for them, one by one; a program that ignores SIGCHLD, or reaps whatever
 * child has ended, learns the same. Free the result with reeve_capabilities_free. Thread-safe.
 * -EINVAL for an unknown scope, -ENOMEM. */
int reeve_capabilities_negotiate(enum reeve_scope scope, struct reeve_capabilities **ret);

/* Returns NULL. */
struct reeve_capabilities *reeve_capabilities_free(struct reeve_capabilities *c);

/* All entries; valid as long as `c`. `*ret_n` may be more than REEVE_CATEGORIES in a library newer
 * than this header. */
const struct reeve_capability *reeve_capabilities_entries(const struct reeve_capabilities *c,
							  size_t *ret_n);

/* One entry, valid as long as `c`; NULL for a category that is none. */
const struct reeve_capability *reeve_capabilities_get(const struct reeve_capabilities *c,
						      enum reeve_category category);

/* A category that is none is REEVE_UNAVAILABLE. */
enum reeve_support reeve_capabilities_support(const struct reeve_capabilities *c,
					      enum reeve_category category);

/* Whether the category is REEVE_SUPPORTED: not partly, wholly. */
bool reeve_capabilities_is_supported(const struct reeve_capabilities *c,
				     enum reeve_category category);

struct reeve_capability_row {
	const char *cells[4]; /* category, support, backend, reason */
};

/* Writes up to `max` rows, in order; returns how many there are. The cells are valid as long as
 * `c`. */
size_t reeve_capabilities_to_table_rows(const struct reeve_capabilities *c,
					struct reeve_capability_row *rows, size_t max);

/* The rows as text: a line `observer capabilities:`, then a line a category, indented by two
 * spaces, columns padded to their longest cell and two spaces apart, the reason last. The same for
 * equal entries. The caller frees `*ret`. -ENOMEM. */
int reeve_capabilities_render_summary(const struct reeve_capabilities *c, char **ret);

/* --- events ---------------------------------------------------------------------------------- */

enum reeve_kind {
	REEVE_KIND_NONE = 0,
	/* lifecycle */
	REEVE_STARTED,
	REEVE_EXITED, /* exit_code; also a process's, with times where they are known */
	/* process */
	REEVE_FORKED,   /* child_pid */
	REEVE_EXECUTED, /* path, argv, cwd; result when it failed */
	/* file: path, and result when it failed */
	REEVE_OPENED,  /* flags, mode */
	REEVE_CREATED, /* the same: there was no such file before */
	REEVE_CLOSED,  /* the last use of an open file ended: totals; also a socket's */
	REEVE_MOVED,   /* totals of one that is still open */
	REEVE_RENAMED, /* to path2 */
	REEVE_UNLINKED,
	REEVE_LINKED,    /* as path2 */
	REEVE_SYMLINKED, /* path2 now says path */
	REEVE_MKDIR,     /* mode */
	REEVE_RMDIR,
	REEVE_TRUNCATED, /* size */
	REEVE_CHMOD,     /* mode */
	REEVE_CHOWN,     /* uid, gid */
	REEVE_MAPPED,    /* executable */
	REEVE_READ,      /* bytes_read of one call; only when each call is asked for */
	REEVE_WRITTEN,   /* bytes_written of one call */
	/* network: family, protocol, local, remote, and result when it failed */
	REEVE_CONNECTED,
	REEVE_BOUND,
	REEVE_LISTENING,
	REEVE_ACCEPTED,
	REEVE_DATAGRAM, /* totals of a datagram socket, for a remote that is new to it */
	REEVE_SENT,     /* bytes_written of one call; only when each call is asked for */
	REEVE_RECEIVED, /* bytes_read of one call */
	/* file or network */
	REEVE_URING, /* a request went through io_uring: opcode, all that is known of it */
};

/* "started", "exited", ...; NULL for a value that is none. Static. */
const char *reeve_kind_name(enum reeve_kind kind);

/* Which members an event has. */
enum reeve_field {
	REEVE_HAS_TID = 1 << 0,
	REEVE_HAS_PPID = 1 << 1,
	REEVE_HAS_COMM = 1 << 2,
	REEVE_HAS_CHILD_PID = 1 << 3,
	REEVE_HAS_EXIT_CODE = 1 << 4,
	REEVE_HAS_TIMES = 1 << 5, /* user_us, system_us */
	REEVE_HAS_PATH = 1 << 6,
	REEVE_HAS_PATH2 = 1 << 7,
	REEVE_HAS_ARGV = 1 << 8,
	REEVE_HAS_CWD = 1 << 9,
	REEVE_HAS_FLAGS = 1 << 10,
	REEVE_HAS_MODE = 1 << 11,
	REEVE_HAS_RESULT = 1 << 12,
	REEVE_HAS_TOTALS = 1 << 13, /* bytes_read, bytes_written, reads, writes */
	REEVE_HAS_SIZE = 1 << 14,
	REEVE_HAS_OWNER = 1 << 15,  /* uid, gid */
	REEVE_HAS_SOCKET = 1 << 16, /* family, protocol */
	REEVE_HAS_LOCAL = 1 << 17,
	REEVE_HAS_REMOTE = 1 << 18,
	REEVE_HAS_OPCODE = 1 << 19,
	REEVE_HAS_CLAIMED =
		1 << 20,         /* the path is what the process said, not what the kernel used */
	REEVE_HAS_CUT = 1 << 21, /* a text was longer than is kept */
};

struct reeve_address {
	uint16_t family;   /* AF_INET, AF_INET6, AF_UNIX; 0: none known */
	uint16_t port;     /* in host order */
	uint32_t scope;    /* of a link-local IPv6 address */
	uint8_t bytes[16]; /* IPv4: the first 4 */
	const char *path;  /* AF_UNIX; one in the abstract name space begins with @. "" for none */
};

struct reeve_event {
	enum reeve_category category;
	enum reeve_kind kind;
	uint32_t fields; /* set of enum reeve_field; what is not in it is 0 or NULL */
	int32_t pid;     /* as the observer sees it; 0: not known */
	int32_t tid, ppid;
	int32_t child_pid;
	int32_t exit_code;         /* 0..255; death by signal N is -N */
	int32_t result;            /* negative errno of a call that failed */
	uint32_t flags;            /* of open(2) */
	uint32_t mode;             /* as of chmod(2) */
	uint32_t uid, gid;         /* 0xffffffff: left as it was */
	uint32_t opcode;           /* IORING_OP_*, io_uring_enter(2) */
	uint16_t family, protocol; /* AF_*, IPPROTO_* */
	uint32_t argv_size;        /* bytes of argv */
	uint64_t timestamp_ms;     /* since the Unix epoch */
	uint64_t seq;              /* grows by category, from 1; a gap of n: n events were missed */
	uint64_t user_us, system_us;        /* CPU time */
	uint64_t bytes_read, bytes_written; /* of a socket: received, sent */
	uint64_t reads, writes;
	uint64_t size;
	const char *source;             /* the backend */
	const char *comm;               /* the process's name, at most 15 bytes */
	const char *path, *path2, *cwd; /* absolute unless claimed */
	const char *argv; /* arguments, each with its NUL behind it; secrets are redacted */
	struct reeve_address local, remote;
};

/* Returns NULL. */
struct reeve_event *reeve_event_free(struct reeve_event *e);

/* --- configuration --------------------------------------------------------------------------- */

#define REEVE_SUBSCRIBER_CAPACITY     1024U /* events, unless said otherwise */
#define REEVE_SUBSCRIBER_CAPACITY_MAX 65536U

/* What to observe. All zero: nothing. */
struct reeve_observer_config {
	uint32_t n;
	enum reeve_category
		categories[REEVE_CATEGORIES]; /* in the order in which they were named */
};

/* Nothing: the default. */
struct reeve_observer_config reeve_observer_config_off(void);

/* Exactly REEVE_LIFECYCLE. */
struct reeve_observer_config reeve_observer_config_lifecycle(void);

/* A set, kept in the order given; a category named again is passed over. -EINVAL, for one that is
 * none. */
int reeve_observer_config_with_categories(const enum reeve_category *categories, size_t n,
					  struct reeve_observer_config *ret);

bool reeve_observer_config_is_off(const struct reeve_observer_config *config);
bool reeve_observer_config_has(const struct reeve_observer_config *config,
			       enum reeve_category category);

/* --- observers in this process --------------------------------------------------------------- */

/* Emits the events of the processes it was given. The functions of an observer and of a subscriber
 * may be called from any thread; freeing one is the last call on it. After fork(2) both are the
 * parent's alone: a child leaves them as they are. */
struct reeve_observer;
struct reeve_subscriber;

/* With a configuration that is off `*ret` becomes NULL, which all functions here take: nothing is
 * allocated, no backend runs, no thread, no event. Else what is asked for is tried out first, as
 * reeve_capabilities_negotiate() does it. A category that is REEVE_UNAVAILABLE yields no events.
 * For any but REEVE_LIFECYCLE there is one thread, to which no signal comes. -ENOMEM, -EMFILE,
 * -EAGAIN (no thread). */
int reeve_observer_new(const struct reeve_observer_config *config, struct reeve_observer **ret);

/* No more events: subscribers read what they have, then come to the end. Returns NULL. */
struct reeve_observer *reeve_observer_close(struct reeve_observer *o);

/* From now on. `capacity` in events, 0 for REEVE_SUBSCRIBER_CAPACITY, at most
 * REEVE_SUBSCRIBER_CAPACITY_MAX (else -EINVAL). An observer that is NULL gives a subscriber that is
 * at its end: `*ret` is NULL. Close it with reeve_subscriber_close. -ENOMEM, -EMFILE. */
int reeve_observer_subscribe(struct reeve_observer *o, size_t capacity,
			     struct reeve_subscriber **ret);

/* Detaches. The emitter goes on, it neither waits for subscribers nor fails for them. Returns
 * NULL. */
struct reeve_subscriber *reeve_subscriber_close(struct reeve_subscriber *s);

/* The next event, the caller's (reeve_event_free); waits for one. Returns 1; 0 at the end: no more
 * can come; a negative errno. */
int reeve_subscriber_recv(struct reeve_subscriber *s, struct reeve_event **ret);

/* The same without waiting: -EAGAIN when there is none now. */
int reeve_subscriber_try_recv(struct reeve_subscriber *s, struct reeve_event **ret);

/* Up to `max` events that are there now, oldest first; returns how many. */
size_t reeve_subscriber_drain(struct reeve_subscriber *s, struct reeve_event **ret, size_t max);

/* Readable while an event can be had, and at the end. Owned by the subscriber; only for poll(2)
 * and its like. -1 for NULL. */
int reeve_subscriber_fd(const struct reeve_subscriber *s);

/* Cumulative, exact. What was delivered was accepted into the subscriber's sink; what was missed
 * was dropped there, the oldest for the newest, or never arrived because a backend lost it. So
 * everything received is delivered less what was dropped in the sink. */
struct reeve_subscriber_counts {
	uint64_t delivered, missed;
	uint64_t delivered_by[REEVE_CATEGORIES], missed_by[REEVE_CATEGORIES];
};

void reeve_subscriber_count(const struct reeve_subscriber *s, struct reeve_subscriber_counts *ret);

#ifdef __cplusplus
}
#endif
