/* SPDX-License-Identifier: Apache-2.0 */
/* call_decode.h - an event from a system call that is about to be made: what its arguments point to
 * is read from the memory of the process, so it is what that claims. */
#pragma once
#include "observe/call_threads.h"
#include <limits.h>
#include <sys/types.h>

#define CALL_PATH_MAX (2U * PATH_MAX) /* a directory, and a path relative to it */

/* Where the texts of one event are. */
struct call_texts {
	char path[CALL_PATH_MAX], path2[CALL_PATH_MAX];
	char cwd[PATH_MAX];
	char argv[EVENT_TEXT_MAX], raw[EVENT_TEXT_MAX];
	char address[2][128];
	char comm[16];
};

/* Fills `ret`. False when the call is none of interest: it sends to no address, or is
 * of another category. The texts are in `t`. */
bool call_decode(const struct call *c, unsigned categories, struct call_threads *threads,
		 struct call_texts *t, struct reeve_event *ret);

/* An event of `kind` that a call has brought about: who, and nothing more. */
void call_event(const struct call *c, enum reeve_category category, enum reeve_kind kind,
		struct call_threads *threads, struct call_texts *t, struct reeve_event *ret);

/* Whether another program would run where it succeeds. */
bool call_executes(const struct call *c);

/* Up to `size` bytes of the memory of a process or thread; what ends at a page that is not there is
 * shorter. Returns how many were read, -EFAULT for none, or another errno. */
ssize_t call_memory(int32_t tid, uint64_t address, void *to, size_t size);

/* The same of who makes a call. */
ssize_t call_read(const struct call *c, uint64_t address, void *to, size_t size);
