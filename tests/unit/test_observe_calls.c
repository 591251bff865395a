/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls are looked at, on each architecture: the filter is run as the kernel would. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "fds.h"
#include "observe/call_decode.h"
#include "observe/call_follow.h"
#include "observe/call_socket.h"
#include "observe/caller_memory.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define WITHOUT_PROCESS (1U << REEVE_FILE | 1U << REEVE_NETWORK)
#define ALL             (1U << REEVE_FILE | 1U << REEVE_NETWORK | 1U << REEVE_PROCESS)
#define ACTION          SECCOMP_RET_USER_NOTIF

/* The few instructions that a filter is made of. */
static uint32_t run_filter(const struct entry *e, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (uint32_t at = 0; at < e->n; at++) {
		const struct sock_filter *i = &e->code[at];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k % 4 == 0 && i->k < sizeof(*data));
			memcpy(&a, (const char *)data + i->k, sizeof(a));
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			at += (a & i->k) != 0 ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction %#x", i->code);
		}
	}
	fail_msg("the filter has no end");
	return 0;
}

static bool stops(unsigned categories, uint32_t arch, int nr)
{
	struct seccomp_data data = { .nr = nr, .arch = arch };
	struct entry e;
	uint32_t action;

	data.args[4] = 1; /* an address, for sendto() */
	calls_filter(categories, ACTION, &e);
	action = run_filter(&e, &data);
	assert_true(action == ACTION || action == SECCOMP_RET_ALLOW);
	return action == ACTION;
}

/* Numbers as the kernel's tables have them: open (or openat), renameat2, unlinkat, execve, connect.
 */
static void the_calls_of_each_architecture_are_stopped(void **state _unused_)
{
	static const struct {
		uint32_t arch;
		int files[6], networks[3], process;
	} known[] = {
		{ AUDIT_ARCH_X86_64, { 2, 257, 437, 316, 263, 87 }, { 42, 49, 50 }, 59 },
		{ AUDIT_ARCH_I386, { 5, 295, 437, 353, 301, 10 }, { 362, 361, 363 }, 11 },
		{ AUDIT_ARCH_AARCH64, { 56, 437, 276, 35, 34, 53 }, { 203, 200, 201 }, 221 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		for (size_t c = 0; c < 6; c++) {
			assert_true(stops(ALL, known[i].arch, known[i].files[c]));
			assert_true(stops(1U << REEVE_FILE, known[i].arch, known[i].files[c]));
			assert_false(stops(1U << REEVE_NETWORK, known[i].arch, known[i].files[c]));
		}
		for (size_t c = 0; c < 3; c++) {
			assert_true(
				stops(1U << REEVE_NETWORK, known[i].arch, known[i].networks[c]));
			assert_false(stops(1U << REEVE_FILE, known[i].arch, known[i].networks[c]));
		}
		assert_true(stops(1U << REEVE_PROCESS, known[i].arch, known[i].process));
		assert_false(stops(1U << REEVE_FILE, known[i].arch, known[i].process));
	}
}

/* read, write, close, mmap, futex; and the numbers of the other architecture. */
static void no_other_call_is(void **state _unused_)
{
	static const int x86_64[] = { 0, 1, 3, 9, 202, 39, 5, 11, 221, 361, -1 };
	static const int aarch64[] = { 63, 64, 57, 222, 98, 2, 59, 42, -1 };
	static const int i386[] = { 3, 4, 6, 90, 240, 257, 59, 42, -1 };

	for (size_t i = 0; i < ARRAY_SIZE(x86_64); i++)
		assert_false(stops(ALL, AUDIT_ARCH_X86_64, x86_64[i]));
	for (size_t i = 0; i < ARRAY_SIZE(aarch64); i++)
		assert_false(stops(ALL, AUDIT_ARCH_AARCH64, aarch64[i]));
	for (size_t i = 0; i < ARRAY_SIZE(i386); i++)
		assert_false(stops(ALL, AUDIT_ARCH_I386, i386[i]));
	for (int nr = 0; nr < 512; nr++)
		assert_false(stops(ALL, AUDIT_ARCH_ARM, nr));
}

static void what_the_filter_stops_is_what_the_table_has(void **state _unused_)
{
	static const uint32_t archs[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64 };

	for (unsigned a = 0; a < ARRAY_SIZE(archs); a++) {
		enum call_arch arch;

		assert_true(call_arch_of(archs[a], &arch));
		for (int nr = 0; nr < 512; nr++) {
			assert_int_equal(stops(ALL, archs[a], nr) ||
						 (arch == ARCH_I386 && nr == 102),
					 call_rule(arch, nr) != NULL || call_moves(arch, nr));
			assert_false(call_moves(arch, nr) && stops(WITHOUT_PROCESS, archs[a], nr));
		}
	}
}

static void a_send_without_an_address_passes(void **state _unused_)
{
	struct seccomp_data data = { .nr = 44, .arch = AUDIT_ARCH_X86_64 };
	struct entry e;

	calls_filter(ALL, ACTION, &e);
	assert_int_equal(run_filter(&e, &data), SECCOMP_RET_ALLOW);
	data.args[4] = 0x100000000; /* either half of the pointer counts */
	assert_int_equal(run_filter(&e, &data), ACTION);
	data.args[4] = 0x1000;
	assert_int_equal(run_filter(&e, &data), ACTION);
}

/* --- the filter of a tracer ------------------------------------------------------------------ */

static bool traces(unsigned categories, const struct seccomp_data *data)
{
	struct entry e;

	calls_filter(categories, SECCOMP_RET_TRACE, &e);
	return run_filter(&e, data) == SECCOMP_RET_TRACE;
}

static void a_tracer_stops_what_moves_bytes_and_descriptors(void **state _unused_)
{
	static const uint32_t archs[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64 };
	const struct follow_rule *r;

	for (unsigned a = 0; a < N_CALL_ARCHS; a++) {
		for (size_t i = 0; (r = follow_rule_at(i)); i++) {
			struct seccomp_data data = { .nr = r->nr[a], .arch = archs[a] };

			if (r->nr[a] < 0 || r->when != WHEN_ALWAYS)
				continue;
			for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
				assert_int_equal(traces(1U << c, &data),
						 (follow_categories(r) & 1U << c) != 0);
		}
	}
}

static void some_it_stops_for_their_arguments_only(void **state _unused_)
{
	struct seccomp_data fcntl_ = { .nr = 72, .arch = AUDIT_ARCH_X86_64, .args = { 5, 1 } };
	struct seccomp_data mmap_ = { .nr = 9, .arch = AUDIT_ARCH_X86_64 };
	struct seccomp_data unshare_ = { .nr = 272, .arch = AUDIT_ARCH_X86_64, .args = { 0x200 } };

	assert_false(traces(ALL, &fcntl_)); /* F_GETFD */
	fcntl_.args[1] = 0;                 /* F_DUPFD */
	assert_true(traces(ALL, &fcntl_));
	fcntl_.args[1] = 1030; /* F_DUPFD_CLOEXEC */
	assert_true(traces(ALL, &fcntl_));
	mmap_.args[2] = 3; /* to read and write */
	mmap_.args[3] = 2;
	assert_false(traces(ALL, &mmap_));
	mmap_.args[2] = 5; /* to run */
	assert_true(traces(ALL, &mmap_));
	mmap_.args[3] = 0x22; /* what is no file */
	assert_false(traces(ALL, &mmap_));
	assert_false(traces(ALL, &unshare_));
	unshare_.args[0] = 0x400; /* CLONE_FILES */
	assert_true(traces(ALL, &unshare_));
}

static void a_tracer_stops_all_that_is_told_of(void **state _unused_)
{
	for (int nr = 0; nr < 512; nr++) {
		struct seccomp_data data = { .nr = nr, .arch = AUDIT_ARCH_X86_64 };

		if (call_rule(ARCH_X86_64, nr))
			assert_true(traces(ALL, &data));
		else if (!follow_rule(ARCH_X86_64, nr))
			assert_false(traces(ALL, &data));
	}
}

static void the_filter_fits(void **state _unused_)
{
	struct entry e;

	calls_filter(ALL, ACTION, &e);
	assert_true(e.n > 0 && e.n <= ENTRY_CODE_MAX);
	calls_filter(ALL, SECCOMP_RET_TRACE, &e);
	assert_true(e.n > 0 && e.n <= ENTRY_CODE_MAX);
	calls_filter(0, ACTION, &e);
	assert_int_equal(
		run_filter(&e, &(struct seccomp_data){ .nr = 2, .arch = AUDIT_ARCH_X86_64 }),
		SECCOMP_RET_ALLOW);
}

/* --- addresses ------------------------------------------------------------------------------- */

static void addresses_are_told_as_they_are(void **state _unused_)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(8080) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(443) };
	struct reeve_address a;
	char path[128];

	assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &in.sin_addr), 1);
	assert_true(call_address(&in, sizeof(in), path, &a));
	assert_int_equal(a.family, AF_INET);
	assert_int_equal(a.port, 8080);
	assert_memory_equal(a.bytes, "\xc0\x00\x02\x07", 4);
	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr), 1);
	in6.sin6_scope_id = 3;
	assert_true(call_address(&in6, sizeof(in6), path, &a));
	assert_int_equal(a.port, 443);
	assert_int_equal(a.scope, 3);
	assert_memory_equal(a.bytes, &in6.sin6_addr, 16);
}

static void names_of_unix_sockets_are_told(void **state _unused_)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/a.sock" };
	struct reeve_address a;
	char path[128];

	assert_true(call_address(&un, sizeof(un), path, &a));
	assert_string_equal(a.path, "/run/a.sock");
	memcpy(un.sun_path, "\0ab\0c", 5);
	assert_true(call_address(&un, offsetof(struct sockaddr_un, sun_path) + 5, path, &a));
	assert_string_equal(a.path, "@ab@c");
	memset(un.sun_path, 'x', sizeof(un.sun_path)); /* without a NUL */
	assert_true(call_address(&un, sizeof(un), path, &a));
	assert_int_equal(strlen(a.path), sizeof(un.sun_path));
	assert_true(call_address(&un, sizeof(un.sun_family), path, &a)); /* unnamed */
	assert_string_equal(a.path, "");
}

static void what_is_no_address_is_refused(void **state _unused_)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct reeve_address a;
	char path[128];

	assert_false(call_address(&in, 0, path, &a));
	assert_false(call_address(&in, 1, path, &a));
	assert_false(call_address(&in, sizeof(in) - 1, path, &a));
	in.sin_family = AF_UNSPEC;
	assert_false(call_address(&in, sizeof(in), path, &a));
}

/* --- the memory of whoever makes them -------------------------------------------------------- */

static struct call call_of(int32_t tid, int nr)
{
	return (struct call){ .arch = ARCH_X86_64, .nr = nr, .tid = tid };
}

/* Whether it is opened for one of many calls that open files; it stays open then. */
static bool is_opened(struct caller_memory *m, int32_t tid)
{
	struct call c = call_of(tid, 257);
	bool opened = false;

	for (unsigned i = 0; i < 64; i++) {
		int fd = caller_memory(m, &c);

		assert_false(opened && fd == 0);
		opened |= fd > 0;
	}
	return opened;
}

static void memory_is_opened_for_calls_of_one_program_in_a_row(void **state _unused_)
{
	struct call own = call_of(getpid(), 257), exec = call_of(getpid(), 59),
		    other = call_of(getppid(), 257);
	uint64_t word = 0x7265657665ULL, seen = 0;
	unsigned before = count_fds();
	struct caller_memory m = { 0 };

	assert_false(is_opened(&m, getpid())); /* it may execute what it likes, unseen */
	assert_int_equal(caller_memory(&m, &exec), 0);
	assert_true(is_opened(&m, getpid()));
	assert_int_equal(count_fds(), before + 1);
	assert_int_equal(
		pread(caller_memory(&m, &own), &seen, sizeof(seen), (off_t)(uintptr_t)&word),
		sizeof(seen));
	assert_true(seen == word);

	assert_int_equal(caller_memory(&m, &exec), 0);
	assert_int_equal(count_fds(), before);
	assert_int_equal(caller_memory(&m, &own), 0);
	assert_true(is_opened(&m, getpid()));
	assert_int_equal(caller_memory(&m, &other), 0);
	assert_int_equal(count_fds(), before);
	assert_int_equal(caller_memory(&m, &own), 0);
	assert_true(is_opened(&m, getpid()));
	caller_memory_close(&m);
	assert_int_equal(count_fds(), before);
}

/* --- what is found by the number of whoever makes them --------------------------------------- */

/* Whether something was, when a call of this process is decoded. `known`: a moment ago it made
 * another. */
static bool is_found_by_number(struct call c, bool known)
{
	static struct call_texts texts;
	bool by_number;
	uint64_t begin;

	c.tid = getpid();
	c.by_number = &by_number;
	do {
		struct call_threads threads = { 0 };
		struct reeve_event e;

		begin = clock_monotonic_ms();
		assert_true(!known || call_decode(&c, ALL, &threads, &texts, &e));
		by_number = false;
		assert_true(call_decode(&c, ALL, &threads, &texts, &e));
		assert_int_equal(e.pid, getpid());
	} while (clock_monotonic_ms() - begin >= 20); /* who it is may not be known any more */
	return by_number;
}

/* openat() or another with a descriptor first, and an address second. */
static struct call call_with(int memory, int nr, int fd, const void *address, uint64_t third)
{
	return (struct call){ .arch = ARCH_X86_64,
			      .nr = nr,
			      .memory = memory,
			      .args = { (uint64_t)fd, (uintptr_t)address, third } };
}

static void what_is_found_by_the_number_of_a_thread_is_told(void **state _unused_)
{
	int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	uint64_t how[3] = { O_RDONLY };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const struct {
		struct call call;
		bool by_number;
	} calls[] = {
		{ call_with(memory, 257, AT_FDCWD, "/a", 0), false },
		{ call_with(memory, 437, AT_FDCWD, "/a", (uintptr_t)how), false },
		{ call_with(memory, 437, AT_FDCWD, "/a", 8), true },
		{ call_with(memory, 257, AT_FDCWD, NULL, 0), true },
		{ call_with(memory, 257, AT_FDCWD, "a", 0), true },
		{ call_with(memory, 257, memory, "a", 0), true },
		{ call_with(memory, 77, memory, NULL, 0), true },
		{ call_with(memory, 42, memory, &in, sizeof(in)), true },
		{ call_with(0, 257, AT_FDCWD, "/a", 0), true },
		{ call_with(0, 322, AT_FDCWD, "/a", 0), true },
	};

	assert_true(memory > 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		assert_int_equal(is_found_by_number(calls[i].call, true), calls[i].by_number);
		assert_true(is_found_by_number(calls[i].call, false)); /* who makes it */
	}
	close(memory);
}

static void that_its_memory_was_opened_is_told_too(void **state _unused_)
{
	struct caller_memory m = { 0 };
	struct call exec = call_of(getpid(), 59), own = call_of(getpid(), 257);
	bool by_number = false;

	exec.by_number = own.by_number = &by_number;
	assert_int_equal(caller_memory(&m, &exec), 0);
	for (int fd = 0; fd == 0;) {
		assert_false(by_number);
		fd = caller_memory(&m, &own);
	}
	assert_true(by_number);
	caller_memory_close(&m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_calls_of_each_architecture_are_stopped),
		cmocka_unit_test(no_other_call_is),
		cmocka_unit_test(what_the_filter_stops_is_what_the_table_has),
		cmocka_unit_test(a_send_without_an_address_passes),
		cmocka_unit_test(a_tracer_stops_what_moves_bytes_and_descriptors),
		cmocka_unit_test(some_it_stops_for_their_arguments_only),
		cmocka_unit_test(a_tracer_stops_all_that_is_told_of),
		cmocka_unit_test(the_filter_fits),
		cmocka_unit_test(addresses_are_told_as_they_are),
		cmocka_unit_test(names_of_unix_sockets_are_told),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(memory_is_opened_for_calls_of_one_program_in_a_row),
		cmocka_unit_test(what_is_found_by_the_number_of_a_thread_is_told),
		cmocka_unit_test(that_its_memory_was_opened_is_told_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
