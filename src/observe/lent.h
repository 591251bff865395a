/* SPDX-License-Identifier: Apache-2.0 */
/* lent.h - what the host's lender opens for us of those who make calls: their memory, and the
 * socket that a call names. Until it comes, the call waits. Of one listener; nothing is asked for
 * but what was refused to us, and one thing at a time. */
#pragma once
#include "observe/calls.h"
#include "observe/host.h"

#define LENT_MAX     16U
#define LENT_ALL_MAX 256U /* memories that all listeners keep from one call to the next */

/* What the listeners of a host share; all zero at first. */
struct lent_all {
	unsigned n; /* memories */
	bool only;  /* the last was lent: what the system refused it will refuse again, and may log
		     */
};

/* All zero but for `asking.lent` and `all`: nothing is there. */
struct lent {
	struct borrowing asking;
	struct lent_all *all;
	struct call_loan loan;       /* of the call that is looked at */
	bool waits;                  /* that call does, for what is asked for */
	bool has_memory, had_socket; /* what was asked for it has come, or was refused */
	bool sees_programs;          /* an execve is among the calls that are asked about */
	struct lent_memory {
		int32_t tid; /* 0: none */
		int fd;
		uint64_t until; /* monotonic us: the number may be another's then */
	} memories[LENT_MAX];   /* a ring */
	unsigned next;
};

/* Whether nothing is to be tried but to ask. */
bool lent_only(const struct lent *t, const struct host *h);

/* Before a call is looked at, for the first time or again: gives it what is there. */
void lent_use(struct lent *t, const struct host *h, struct call *c);

/* After that: asks for what was refused, if that was not done yet. True: the call is to wait until
 * `asking.lent` is called. */
bool lent_ask(struct lent *t, struct host *h, const struct call *c);

/* What has come for the call that waits, and still stands. `fd` is taken over; negative: it is
 * refused. */
void lent_take(struct lent *t, int fd);

/* The call has been told of. `pid`: whose it is. */
void lent_over(struct lent *t, const struct call *c, int32_t pid);

/* It is not, since it does not stand any more. */
void lent_drop(struct lent *t);

/* Nothing is known any more of who has this number. */
void lent_forget(struct lent *t, int32_t tid);

/* Closes all; what was asked for is not wanted any more. */
void lent_close(struct lent *t);
