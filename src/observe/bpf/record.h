/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* record.h - what the BPF programs and the backend `ebpf` share: records, sessions, control. Fixed
 * widths only; included by both sides. A change of any of it changes RECORD_VERSION. */
#pragma once
#include <linux/types.h>

#define RECORD_VERSION 3 /* in the names of held descriptors */

#define SESSIONS_MAX  4096 /* at once */
#define TEXT_MAX      4096 /* bytes of one text */
#define TEXTS         4
#define FILE_TEXT     320 /* bytes of texts that are kept with an open file */
#define CATEGORIES    4
#define CGROUP_LEVELS 12 /* as deep as a session's cgroup may lie */

/* The categories and kinds are those of reeve/observer.h. */

/* What the texts of a record are. */
enum text_form {
	TEXT_WALK = 1, /* names from the leaf to the root, each with its NUL: the kernel's path */
	TEXT_STRING,   /* as the process gave it, with its NUL */
	TEXT_ARGS,     /* arguments, each with its NUL */
	TEXT_ADDRESS,  /* struct record_address */
};

/* Which text is which: of an event of category file, of an execution, of network. */
enum text_index {
	TEXT_PATH = 0,
	TEXT_PATH2 = 1,
	TEXT_BASE = 2, /* the directory that a relative TEXT_PATH starts from */
	TEXT_BASE2 = 3,
	TEXT_ARGV = 1,
	TEXT_CWD = 2,
	TEXT_LOCAL = 0,
	TEXT_REMOTE = 1,
};

enum record_flag {
	RECORD_CUT = 1,     /* a text was longer */
	RECORD_FLAGS = 2,   /* `a`: flags of open */
	RECORD_MODE = 4,    /* `b`: mode */
	RECORD_OWNER = 8,   /* `a`, `b`: uid, gid */
	RECORD_SIZE = 16,   /* `totals[0]` */
	RECORD_TOTALS = 32, /* `totals`: bytes read, bytes written, reads, writes */
	RECORD_RESULT = 64,
	RECORD_EXIT = 128,      /* `a`: wait status; totals[0], [1]: ns of CPU time */
	RECORD_SOCKET = 256,    /* `a`: family, `b`: protocol */
	RECORD_OPCODE = 512,    /* `a` */
	RECORD_CHILD = 1024,    /* `a` */
	RECORD_UNROOTED = 2048, /* the walk did not end at the root of the mount tree */
};

struct record_address {
	__u16 family, port; /* port in host order */
	__u32 scope;
	__u8 bytes[16];
	__u8 path_size; /* AF_UNIX */
	__u8 path[111];
};

struct record {
	__u64 time; /* CLOCK_MONOTONIC ns */
	__u64 seq;  /* by session and category, from 1; what was dropped has one too */
	__u32 session, generation; /* session: a place in the map `sessions` */
	__u8 category, kind;
	__u16 flags;
	__s32 result;
	__u32 pid, tid, ppid;
	__u32 a, b;
	__u32 size; /* of all, texts included */
	__u64 totals[4];
	__u16 text_sizes[TEXTS];
	__u8 text_forms[TEXTS];
	__u8 pad[4];
	char comm[16];
};

/* An open file or socket: the record that will tell of its end. */
struct open_file {
	__u64 reported;            /* reads + writes when it was last told of */
	__u64 inode, dentry, cred; /* a file structure that is used again has others */
	__u32 place;               /* in the map `files` */
	__u32 live;                /* 0: about to be filled in, or ended */
	struct record record;
	char text[FILE_TEXT];
};

struct session {
	__u32 generation;          /* 0: none */
	__u32 categories;          /* set of 1 << category */
	__u32 each;                /* tell of each read and write */
	__u32 number;              /* the caller's */
	__u64 emitted[CATEGORIES]; /* the kernel's count of what happened */
	__u64 dropped[CATEGORIES]; /* of these: no room in the ring */
	__u64 told[CATEGORIES];    /* the backend's: how many of the dropped were made known */
};

/* What a task belongs to. */
struct tag {
	__u32 session, generation;
};

enum ring_index {
	RING_PROCESS, /* process events: not displaced by others */
	RING_BULK,
	RINGS,
};

/* Of whoever reads the rings. Nothing of it, and nothing in `sessions`, says whom the programs look
 * at: an ordinary user may write both. */
struct reader {
	__u32 sleeping[RINGS]; /* the reader waits to be woken */
	__u64 wake_at[RINGS];  /* bytes that wait */
	__u64 gone;            /* times a process ended or a file may have been closed unseen */
	__u32 tier;            /* by the loader: enum tier */
	__s32 refused;         /* by the loader: why not the better one, a negative errno */
};

/* How much of the kernel the programs are at. */
enum tier {
	TIER_TRACEPOINTS = 1,
	TIER_FUNCTIONS, /* and at some of its functions, functions.h */
};

/* Of whoever loaded the programs. */
struct control {
	__u32 everything; /* session that sees all processes; 0: none */
	__u32 self;       /* our own tgid (initial namespace): of it only forks, exits */
	__u32 level;      /* of our pid namespace: whose pids are told */
	__u32 cgroups;    /* sessions in the map by_cgroup */
	__u32 seen;       /* of our own calls by the programs at functions: set of enum own_call */
};

enum own_call {
	OWN_OPEN = 1,
	OWN_CLOSE = 2,
};

/* Set once, when the programs are loaded: whose tasks they tell of. */
struct owner {
	__u32 only; /* 0: anybody's */
	__u32 uid, gid;
};

/* What not all kernels have; without it there are other ways. */
struct kernel_has {
	__u32 cast; /* a pointer that was found can be read like one that was given (Linux 6.2),
		     * which takes a tenth of the time of a call */
	__u32 group_dead; /* a task that ends is known to be the last of its process (Linux 6.15) */
	__u32 functions;  /* programs at functions of the kernel: TIER_FUNCTIONS */
};

/* Arguments of the program `sweep`. */
enum sweep_what {
	SWEEP_IDENTIFY, /* fills `self` and `level` of the control */
	SWEEP_FILES,    /* tells of files that moved, and of those that were closed unseen */
};
