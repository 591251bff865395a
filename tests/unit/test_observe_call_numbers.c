/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of system calls are those of the kernel's own headers: on x86-64 and i386 each has a
 * list, aarch64 has the one of all new architectures. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "observe/call_follow.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CALLS 512

/* By architecture; the headers of Debian are below the name of the machine. */
static const char *const headers[N_CALL_ARCHS][2] = {
	[ARCH_X86_64] = { "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
			  "/usr/include/asm/unistd_64.h" },
	[ARCH_I386] = { "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
			"/usr/include/asm/unistd_32.h" },
	[ARCH_AARCH64] = { "/usr/include/asm-generic/unistd.h", NULL },
};

/* Which call is to have which rule. */
static const struct {
	const char *name;
	uint8_t kind, form;
} told[] = {
	{ "open", REEVE_OPENED, FORM_OPEN },
	{ "openat", REEVE_OPENED, FORM_OPEN },
	{ "openat2", REEVE_OPENED, FORM_OPEN_HOW },
	{ "creat", REEVE_OPENED, FORM_CREAT },
	{ "mknod", REEVE_CREATED, FORM_MKNOD },
	{ "mknodat", REEVE_CREATED, FORM_MKNOD },
	{ "rename", REEVE_RENAMED, FORM_PLAIN },
	{ "renameat", REEVE_RENAMED, FORM_PLAIN },
	{ "renameat2", REEVE_RENAMED, FORM_PLAIN },
	{ "unlink", REEVE_UNLINKED, FORM_PLAIN },
	{ "unlinkat", REEVE_UNLINKED, FORM_UNLINKAT },
	{ "rmdir", REEVE_RMDIR, FORM_PLAIN },
	{ "link", REEVE_LINKED, FORM_PLAIN },
	{ "linkat", REEVE_LINKED, FORM_PLAIN },
	{ "symlink", REEVE_SYMLINKED, FORM_PLAIN },
	{ "symlinkat", REEVE_SYMLINKED, FORM_PLAIN },
	{ "mkdir", REEVE_MKDIR, FORM_PLAIN },
	{ "mkdirat", REEVE_MKDIR, FORM_PLAIN },
	{ "truncate", REEVE_TRUNCATED, FORM_PLAIN },
	{ "ftruncate", REEVE_TRUNCATED, FORM_PLAIN },
	{ "truncate64", REEVE_TRUNCATED, FORM_SIZE_HALF },
	{ "ftruncate64", REEVE_TRUNCATED, FORM_SIZE_HALF },
	{ "chmod", REEVE_CHMOD, FORM_PLAIN },
	{ "fchmod", REEVE_CHMOD, FORM_PLAIN },
	{ "fchmodat", REEVE_CHMOD, FORM_PLAIN },
	{ "fchmodat2", REEVE_CHMOD, FORM_PLAIN },
	{ "chown", REEVE_CHOWN, FORM_PLAIN },
	{ "lchown", REEVE_CHOWN, FORM_PLAIN },
	{ "fchown", REEVE_CHOWN, FORM_PLAIN },
	{ "chown32", REEVE_CHOWN, FORM_PLAIN },
	{ "lchown32", REEVE_CHOWN, FORM_PLAIN },
	{ "fchown32", REEVE_CHOWN, FORM_PLAIN },
	{ "fchownat", REEVE_CHOWN, FORM_PLAIN },
	{ "execve", REEVE_EXECUTED, FORM_EXEC },
	{ "execveat", REEVE_EXECUTED, FORM_EXEC },
	{ "connect", REEVE_CONNECTED, FORM_ADDRESS },
	{ "bind", REEVE_BOUND, FORM_ADDRESS },
	{ "listen", REEVE_LISTENING, FORM_LISTEN },
	{ "sendto", REEVE_DATAGRAM, FORM_SENDTO },
	{ "sendmsg", REEVE_DATAGRAM, FORM_MESSAGE },
	{ "sendmmsg", REEVE_DATAGRAM, FORM_MESSAGES },
	{ "socketcall", REEVE_KIND_NONE, FORM_SOCKETCALL },
};

static const struct {
	const char *name;
	uint8_t what;
} followed[] = {
	{ "read", FOLLOW_READ },
	{ "pread64", FOLLOW_READ },
	{ "readv", FOLLOW_READ },
	{ "preadv", FOLLOW_READ },
	{ "preadv2", FOLLOW_READ },
	{ "write", FOLLOW_WRITE },
	{ "pwrite64", FOLLOW_WRITE },
	{ "writev", FOLLOW_WRITE },
	{ "pwritev", FOLLOW_WRITE },
	{ "pwritev2", FOLLOW_WRITE },
	{ "sendfile", FOLLOW_COPY },
	{ "sendfile64", FOLLOW_COPY },
	{ "splice", FOLLOW_COPY },
	{ "copy_file_range", FOLLOW_COPY },
	{ "sendto", FOLLOW_SEND },
	{ "sendmsg", FOLLOW_SEND },
	{ "sendmmsg", FOLLOW_SEND },
	{ "recvfrom", FOLLOW_RECEIVE },
	{ "recvmsg", FOLLOW_RECEIVE },
	{ "recvmmsg", FOLLOW_RECEIVE },
	{ "recvmmsg_time64", FOLLOW_RECEIVE },
	{ "accept", FOLLOW_ACCEPT },
	{ "accept4", FOLLOW_ACCEPT },
	{ "close", FOLLOW_CLOSE },
	{ "close_range", FOLLOW_CLOSE_RANGE },
	{ "dup", FOLLOW_DUPLICATE },
	{ "dup2", FOLLOW_DUPLICATE },
	{ "dup3", FOLLOW_DUPLICATE },
	{ "fcntl", FOLLOW_DUPLICATE },
	{ "fcntl64", FOLLOW_DUPLICATE },
	{ "unshare", FOLLOW_UNSHARE },
};

static const char *const moving[] = { "chdir", "fchdir", "setns",   "pivot_root",
				      "mount", "umount", "umount2", "move_mount" };

static char *read_header(enum call_arch arch)
{
	char *text = NULL;

	for (unsigned i = 0; i < 2 && headers[arch][i]; i++) {
		if (fd_read_file(headers[arch][i], 1U << 20, &text, NULL) >= 0)
			return text;
	}
	return NULL;
}

/* The number behind `#define __NR_name`, or __NR3264_name; -1: there is none. */
static int number_in(const char *header, const char *prefix, const char *name)
{
	char word[64];
	size_t n = (size_t)snprintf(word, sizeof(word), "#define %s%s", prefix, name);

	for (const char *at = header; (at = strstr(at, word)); at += n) {
		if ((at[n] == ' ' || at[n] == '\t') &&
		    strspn(at + n + strspn(at + n, " \t"), "0123456789") > 0)
			return (int)strtol(at + n, NULL, 10);
	}
	return -1;
}

static int number_of(enum call_arch arch, const char *header, const char *name)
{
	int nr = number_in(header, "__NR_", name);

	if (nr < 0 && arch == ARCH_AARCH64)
		nr = number_in(header, "__NR3264_", name);
	if (nr < 0 && strcmp(name, "fchmodat2") == 0)
		nr = 452; /* on all; newer than some headers */
	/* 64-bit machines have these, but not for the old times. */
	if (arch == ARCH_AARCH64 && strcmp(name, "recvmmsg_time64") == 0)
		nr = -1;
	return nr;
}

/* The calls of names that are known, by number. */
struct marks {
	bool told[CALLS], followed[CALLS], moving[CALLS];
};

static void mark_told(enum call_arch arch, const char *header, struct marks *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		int nr = number_of(arch, header, told[i].name);
		const struct call_rule *r = call_rule(arch, nr);

		if (nr < 0)
			continue;
		if (!r || r->kind != told[i].kind || r->form != told[i].form)
			fail_msg("%s, number %d of %u", told[i].name, nr, arch);
		m->told[nr] = true;
	}
}

static void mark_followed(enum call_arch arch, const char *header, struct marks *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(followed); i++) {
		int nr = number_of(arch, header, followed[i].name);
		const struct follow_rule *r = follow_rule(arch, nr);

		if (nr < 0)
			continue;
		if (!r || r->what != followed[i].what)
			fail_msg("%s, number %d of %u", followed[i].name, nr, arch);
		m->followed[nr] = true;
	}
	m->followed[number_of(arch, header, arch == ARCH_I386 ? "mmap2" : "mmap")] = true;
}

static void mark_moving(enum call_arch arch, const char *header, struct marks *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(moving); i++) {
		int nr = number_of(arch, header, moving[i]);

		if (nr >= 0)
			m->moving[nr] = true;
	}
}

/* Each call of a name has its rule, and each rule is that of such a call. */
static void compare(enum call_arch arch, const char *header)
{
	struct marks m = { 0 };

	mark_told(arch, header, &m);
	mark_followed(arch, header, &m);
	mark_moving(arch, header, &m);
	for (int nr = 0; nr < CALLS; nr++) {
		if ((call_rule(arch, nr) != NULL) != m.told[nr] ||
		    (follow_rule(arch, nr) != NULL) != m.followed[nr] ||
		    call_moves(arch, nr) != m.moving[nr])
			fail_msg("number %d of %u", nr, arch);
	}
}

static void the_numbers_are_the_kernels(void **state _unused_)
{
	for (unsigned a = 0; a < N_CALL_ARCHS; a++) {
		_cleanup_(freep) char *header = read_header((enum call_arch)a);

		assert_true(header != NULL || a != ARCH_AARCH64);
		if (header) /* where this is built on another machine, its own */
			compare((enum call_arch)a, header);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_numbers_are_the_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
