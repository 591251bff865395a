/* SPDX-License-Identifier: Apache-2.0 */
/* ebpf.h - parts of the backend `ebpf`: programs and maps, ring buffers, records. */
#pragma once
#include "observe/backend.h"
#include <linux/types.h>

#include "observe/bpf/record.h"

/* --- ebpf_load.c: descriptors of programs, maps and attachments ------------------------------- */

enum ebpf_fd {
	EBPF_RING_PROCESS,
	EBPF_RING_BULK,
	EBPF_SESSIONS,
	EBPF_READER,
	EBPF_SHARED, /* those before are all that reading takes, and tell nobody whom to look at */
	EBPF_CONTROL = EBPF_SHARED,
	EBPF_TAGS,
	EBPF_BY_CGROUP,
	EBPF_SWEEP, /* a program that is run, not attached */
	EBPF_PROGRAM,
	EBPF_PROGRAM_FORK = EBPF_PROGRAM,
	EBPF_PROGRAM_EXEC,
	EBPF_PROGRAM_EXIT,
	EBPF_PROGRAM_RETURN,
	EBPF_PROGRAM_STATE,
	EBPF_PROGRAM_URING,     /* -1 where the kernel has no such tracepoint */
	EBPF_PROGRAM_URING_SQE, /* the same, as older kernels call it */
	EBPF_PROGRAM_CONNECT4,
	EBPF_PROGRAM_CONNECT6,
	EBPF_PROGRAM_SENDMSG4,
	EBPF_PROGRAM_SENDMSG6,
	EBPF_PROGRAM_FUNCTIONS, /* one of those at functions of the kernel: all are attached as it
				 * is; -1 in TIER_TRACEPOINTS */
	EBPF_LINK,              /* in the order of the programs; -1: not attached */
	EBPF_FUNCTION = EBPF_LINK + (EBPF_LINK - EBPF_PROGRAM), /* the others at functions */
	N_EBPF_FDS = EBPF_FUNCTION + 9,
};

#define EBPF_PROGRAMS  ((unsigned)(EBPF_LINK - EBPF_PROGRAM))
#define EBPF_FUNCTIONS ((unsigned)(N_EBPF_FDS - EBPF_FUNCTION))

/* When a program is attached. */
enum ebpf_need {
	EBPF_NEED_ANY,       /* while any session is observed */
	EBPF_NEED_CALLS,     /* while files or network are */
	EBPF_NEED_SOCKETS,   /* while network is, where there is a cgroup directory; may fail */
	EBPF_NEED_FUNCTIONS, /* while files or network are, and some time longer */
};

/* The name of a descriptor among those that are held. */
void ebpf_fd_name(unsigned fd, char name[HELD_NAME_MAX]);

/* Loads programs and makes maps; nothing is attached. `fds` are all -1 before, and on failure.
 * -EPERM: it takes privileges that this process lacks. */
int ebpf_load(int fds[N_EBPF_FDS], const struct owner *owner, enum tier tier, struct error *e);

/* Loads a program at a function of the kernel that does nothing. 0, or the errno with which that is
 * refused, negative. */
int ebpf_try_function(void);

/* Attaches program `i`; returns the link, or a negative errno. Those at functions: see
 * ebpf_functions_attach(). */
int ebpf_attach(const int fds[N_EBPF_FDS], unsigned i, int cgroup_dir);
enum ebpf_need ebpf_need_of(unsigned i);

/* Attaches a program at a function. */
int ebpf_attach_function(int program);

/* Runs the program `sweep` on this thread. */
int ebpf_run_sweep(int program, enum sweep_what what);

int ebpf_map_set(int map, const void *key, const void *value);
int ebpf_map_get(int map, const void *key, void *ret);
int ebpf_map_delete(int map, const void *key);

/* The key behind `key` (NULL: the first); -ENOENT at the end. */
int ebpf_map_next(int map, const void *key, void *next);

/* Says what stands in the way, and returns the negative errno. */
int ebpf_refuse(struct error *e, int errnum, const char *step);

/* --- ebpf_functions.c: the programs at functions of the kernel --------------------------------
 */

#define EBPF_LINGER_MS 30000U /* that they stay attached when nobody needs them any more */

/* Attaches all of them. To detach one takes the kernel a tenth of a second and more, during which
 * it keeps whoever closes the last descriptor. So a process of their own holds the links, a copy of
 * this one, nobody's child; it ends when all descriptors of the socket that is returned are closed.
 * Until it has ended they cannot be attached again: -EBUSY. */
int ebpf_functions_attach(const int fds[N_EBPF_FDS]);

/* False when the process at the other end was killed. */
bool ebpf_functions_are_held(int sock);

/* Makes them fire on this thread, and looks whether they did: `control` is theirs. -ENODATA: no. */
int ebpf_functions_prove(const struct control *control);

/* --- ebpf_ring.c: a BPF ring buffer ------------------------------------------------------------
 */

struct ebpf_ring {
	uint64_t *consumed; /* shared with the kernel: survives us */
	const uint64_t *produced;
	const char *data;
	size_t size, page;
};

int ebpf_ring_open(struct ebpf_ring *r, int map);
void ebpf_ring_close(struct ebpf_ring *r);
/* Bytes that wait in it. */
uint64_t ebpf_ring_fill(const struct ebpf_ring *r);

/* A ring of which more than one part in so many waits is to be read at once. */
#define EBPF_PRESSES 8U

/* `next`: the place behind the record. */
typedef void ebpf_ring_each(void *userdata, unsigned ring, const struct record *record,
			    uint64_t next);

/* Hands up to `max` records of each ring to `each`, in the order of their times: what a process did
 * comes before its end. A ring that presses does not wait for one that has had its `max`, so that a
 * flood in the one makes the other lose nothing. Returns how many there were; `*ret_more`: others
 * wait. */
unsigned ebpf_rings_read(struct ebpf_ring rings[RINGS], unsigned max, ebpf_ring_each *each,
			 void *userdata, bool *ret_more);

/* --- ebpf_decode.c: records to events ----------------------------------------------------------
 */

struct ebpf_texts {
	char text[TEXTS][2 * TEXT_MAX + 2];
};

/* `record` is `record->size` bytes. `offset_ns`: CLOCK_REALTIME less CLOCK_MONOTONIC. The texts are
 * in `texts`. -EBADMSG for a record that is none. */
int ebpf_decode(const struct record *record, size_t size, int64_t offset_ns,
		struct ebpf_texts *texts, struct reeve_event *ret);
