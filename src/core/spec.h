/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h - what to run and how: the spawn specification as it travels to the spawner.
 *
 * It stands in a sealed memfd, because a SEQPACKET message is limited to a few hundred KiB while
 * argv and environment may take all that execve(2) allows. Layout: struct spec_header, then
 * `argc` + `envc` + 1 NUL-terminated strings: argv, environment, cwd. */
#pragma once
#include "base/error.h"
#include "core/entry.h"
#include <stdint.h>

#define SPEC_MAGIC    0x726565762d737063ULL
#define SPEC_SIZE_MAX (16U << 20)
#define SPEC_LIMITS   16U /* RLIM_NLIMITS */
#define SPEC_NO_NICE  INT32_MIN
#define SPEC_NO_UMASK UINT32_MAX

enum spec_flag {
	SPEC_TERMINAL = 1 << 0, /* fd 0 becomes the controlling terminal */
	SPEC_GATE = 1 << 1,     /* wait at the gate before execve */
};

struct spec_limit {
	uint64_t soft, hard; /* RLIM_INFINITY for none */
};

struct spec_header {
	uint64_t magic;
	uint64_t size; /* of the whole, header included */
	uint32_t argc, envc;
	uint32_t umask;
	int32_t nice;
	uint32_t flags;
	uint32_t limits_set; /* bit n: limits[n] is to be set */
	uint64_t mark;       /* RLIMIT_LOCKS, soft and hard; 0 leaves it alone */
	struct spec_limit limits[SPEC_LIMITS];
	struct entry entry; /* the child installs it before it comes to its gate; n = 0 for none */
};

/* What a caller fills in. Strings are borrowed. */
struct spec {
	char *const *argv; /* NULL-terminated, at least one */
	char *const *envp; /* NULL-terminated `KEY=value` */
	const char *cwd;   /* absolute */
	struct spec_header
		header; /* umask, nice, flags, limits, mark; the rest is filled by spec_pack */
};

/* Sets every optional part of the header to "leave alone". */
void spec_init(struct spec *spec);

/* Packs into a new sealed memfd. ERROR_TOO_LARGE past SPEC_SIZE_MAX (the kernel's own limit on argv
 * and environment is lower and is reported by execve as E2BIG). */
int spec_pack(const struct spec *spec, int *ret_fd, struct error *e);

/* A mapped spec. argv[-1] is a spare place, for a script that has no `#!` line. */
struct spec_view {
	const struct spec_header *header;
	char **argv, **envp;
	const char *cwd;
	void *map;
	void *vectors;
};

/* Maps and checks a spec memfd (sealed against shrinking, all strings inside). -EBADMSG when it is
 * not one. */
int spec_open(struct spec_view *v, int fd);
void spec_close(struct spec_view *v);
