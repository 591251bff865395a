/* SPDX-License-Identifier: Apache-2.0 */
/* calls.h - the system calls that events are made of, by architecture: which numbers they have, and
 * in which argument is what. For the backends that see a call with its arguments. */
#pragma once
#include "core/entry.h"
#include "observe/event.h"
#include <stdbool.h>

enum call_arch {
	ARCH_X86_64,
	ARCH_I386, /* also int 0x80 of a 64-bit program */
	ARCH_AARCH64,
	N_CALL_ARCHS,
};

/* What of a call is not said by the place of an argument. */
enum call_form {
	FORM_PLAIN,
	FORM_OPEN,       /* flags and, where they create, mode */
	FORM_OPEN_HOW,   /* struct open_how at `flags` */
	FORM_CREAT,      /* flags that go without saying */
	FORM_UNLINKAT,   /* AT_REMOVEDIR in `flags`: a directory */
	FORM_SIZE_HALF,  /* `size` in two registers */
	FORM_EXEC,       /* argv behind `path` */
	FORM_MKNOD,      /* a created file that nobody has open */
	FORM_ADDRESS,    /* a socket in `fd`, its address and the size of that in the next two */
	FORM_LISTEN,     /* a socket in `fd` */
	FORM_SENDTO,     /* a socket in `fd`, an address in the fifth; none: not of interest */
	FORM_MESSAGE,    /* a struct msghdr in the second */
	FORM_MESSAGES,   /* the first of them */
	FORM_SOCKETCALL, /* i386: which call and where its arguments are */
};

/* Places of arguments: 1 the first; 0 none. */
struct call_rule {
	int16_t nr[N_CALL_ARCHS]; /* -1: not there */
	uint8_t category, kind, form;
	uint8_t dir, path, dir2, path2; /* no `dir`: relative to the working directory */
	uint8_t fd;                     /* of the file or socket */
	uint8_t flags, mode, size, owner;
};

struct call_home;
struct call_window;

/* What the system keeps from us, and others may lend (lent.h). */
struct call_loan {
	bool only;         /* nothing is to be tried without it */
	int socket;        /* a copy of the socket that the call names; 0: not there */
	bool wants_memory; /* reading that of its thread was refused */
	bool wants_socket; /* copying descriptor `number` of process `pid` was */
	int32_t pid, number;
};

/* A call as its process made it. */
struct call {
	enum call_arch arch;
	int nr;
	uint64_t args[6];
	int32_t tid;
	int memory;      /* /proc/TID/mem of the program that makes it; 0: it is not open */
	bool *by_number; /* NULL, or set when something is found by the number of its thread, which
			  * may be another's once that has been killed */
	struct call_home *home;     /* NULL: where it is, is asked each time */
	struct call_loan *loan;     /* NULL: nobody lends */
	struct call_window *window; /* NULL, or what was read last where texts are */
};

/* Said before the number is used. */
static inline void call_by_number(const struct call *c)
{
	if (c->by_number)
		*c->by_number = true;
}

/* The rule for a call; NULL: it is not of interest. */
const struct call_rule *call_rule(enum call_arch arch, int nr);

/* Whether somebody may be in another directory after a call, or that have another name: a directory
 * of its own is changed to, or what is mounted where. */
bool call_moves(enum call_arch arch, int nr);

/* From AUDIT_ARCH_*. False for one that is none of ours. */
bool call_arch_of(uint32_t audit, enum call_arch *ret);

/* A filter that gives `action` (SECCOMP_RET_USER_NOTIF, _TRACE) for the calls of these categories,
 * and lets all others pass. With SECCOMP_RET_TRACE, also for those by which files are followed
 * (call_follow.h); else, where programs are told, for those that move. */
void calls_filter(unsigned categories, uint32_t action, struct entry *ret);
