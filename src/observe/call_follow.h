/* SPDX-License-Identifier: Apache-2.0 */
/* call_follow.h - the system calls by which an open file is followed from its beginning to its end:
 * what moves bytes, and what makes, copies and closes descriptors. Only where results are seen. */
#pragma once
#include "observe/calls.h"

enum follow_what {
	FOLLOW_READ,
	FOLLOW_WRITE,
	FOLLOW_COPY, /* from `fd` to `fd2` */
	FOLLOW_SEND, /* a socket */
	FOLLOW_RECEIVE,
	FOLLOW_ACCEPT,      /* the result is a new socket */
	FOLLOW_CLOSE,       /* whatever comes of it, the descriptor is gone */
	FOLLOW_CLOSE_RANGE, /* first, last, flags */
	FOLLOW_DUPLICATE,   /* the result is one more descriptor of `fd` */
	FOLLOW_UNSHARE,     /* the thread has descriptors of its own from now on */
	FOLLOW_MAP,
};

/* When such a call is of interest. */
enum follow_when {
	WHEN_ALWAYS,
	WHEN_DUPLICATING, /* fcntl(2): F_DUPFD, F_DUPFD_CLOEXEC */
	WHEN_EXECUTABLE,  /* mmap(2): PROT_EXEC, of a file */
	WHEN_DESCRIPTORS, /* unshare(2): CLONE_FILES */
};

struct follow_rule {
	int16_t nr[N_CALL_ARCHS]; /* -1: not there */
	uint8_t what, when;
	uint8_t fd, fd2; /* places of arguments: 1 the first */
	uint8_t many;    /* the result is a number of messages, each with its own size */
};

/* The rule for a call; NULL: it is none of these. */
const struct follow_rule *follow_rule(enum call_arch arch, int nr);

/* Whether a call that the rule is for is of interest. */
bool follow_applies(const struct follow_rule *r, const struct call *c);

/* One after the other, from 0; NULL behind the last. */
const struct follow_rule *follow_rule_at(size_t i);

/* The categories for which it is looked at. */
unsigned follow_categories(const struct follow_rule *r);
