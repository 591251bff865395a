/* SPDX-License-Identifier: Apache-2.0 */
/* A call that a filter refuses, as a container's, is not put down to a setting that allows it. */
#include "observe/surroundings.h"
#include "observed.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>

#define PARANOID "/proc/sys/kernel/perf_event_paranoid"
#define SCOPE    "/proc/sys/kernel/yama/ptrace_scope"

struct finding {
	struct backend_support by[REEVE_CATEGORIES];
};

/* From here on this process may not make the call. */
static void refuse(unsigned number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(97);
}

/* What a process finds that has called `before`. */
static void find(struct finding *ret, const struct backend *b, void (*before)(unsigned),
		 unsigned number)
{
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct finding own = { 0 };

		before(number);
		b->probe(REEVE_LAUNCHED_TREE, -1, own.by);
		_exit(write(ends[1], &own, sizeof(own)) == (ssize_t)sizeof(own) ? 0 : 1);
	}
	assert_int_equal(read(ends[0], ret, sizeof(*ret)), sizeof(*ret));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ends[0]);
	close(ends[1]);
}

static const char *reason_without(const struct backend *b, unsigned number,
				  enum reeve_category category)
{
	static struct finding found;

	find(&found, b, refuse, number);
	assert_int_equal(found.by[category].support, REEVE_UNAVAILABLE);
	return found.by[category].reason;
}

static void assert_says(const char *reason, const char *words)
{
	if (!strstr(reason, words))
		fail_msg("\"%s\" does not say \"%s\"", reason, words);
}

static void perf_that_a_filter_refuses_is_not_put_down_to_the_sysctl(void **state _unused_)
{
	const char *reason = reason_without(&backend_perf, SYS_perf_event_open, REEVE_PROCESS);

	if (sysctl_number(PARANOID, 2) <= 2)
		assert_says(reason, "refused by a security module or a filter of system calls");
	else
		assert_says(reason, "kernel.perf_event_paranoid is");
}

static void ptrace_that_a_filter_refuses_is_not_put_down_to_yama(void **state _unused_)
{
	const char *reason = reason_without(&backend_ptrace, SYS_ptrace, REEVE_FILE);

	if (sysctl_number(SCOPE, 0) == 0)
		assert_says(reason, "a security module or a container's filter refuses it");
	else
		assert_says(reason, "kernel.yama.ptrace_scope is");
}

static void memory_that_a_filter_keeps_shut_is_not_put_down_to_yama(void **state _unused_)
{
	const char *reason =
		reason_without(&backend_seccomp_user_notify, SYS_process_vm_readv, REEVE_FILE);

	if (sysctl_number(SCOPE, 0) == 0)
		assert_says(reason, "a security module or a container's filter refuses it");
	else
		assert_says(reason, "kernel.yama.ptrace_scope is");
}

static void a_number_is_read_and_what_is_none_is_not(void **state _unused_)
{
	assert_true(sysctl_number("/proc/sys/kernel/pid_max", -7) > 0);
	assert_int_equal(sysctl_number("/proc/sys/kernel/nothing", -7), -7);
	assert_int_equal(sysctl_number("/proc/sys/kernel/ostype", -7), -7);
}

/* What is found by a process that does not learn how its children end: the kernel, or a thread of
 * its own, takes all of them. */
static void *reap_all(void *userdata _unused_)
{
	for (;;)
		if (waitpid(-1, NULL, 0) < 0)
			(void)poll(NULL, 0, 1);
	return NULL;
}

static void ignore_children(unsigned number _unused_)
{
	(void)signal(SIGCHLD, SIG_IGN);
}

static void take_children(unsigned number _unused_)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, reap_all, NULL) != 0)
		_exit(96);
}

static void do_nothing(unsigned number _unused_)
{
}

/* Whether it would have been refused memory. */
static bool speaks_of_memory(void (*before)(unsigned))
{
	static struct finding found;

	find(&found, &backend_seccomp_user_notify, before, 0);
	assert_true(found.by[REEVE_FILE].reason[0] != '\0');
	return strstr(found.by[REEVE_FILE].reason, "memory") != NULL;
}

static void who_does_not_learn_how_children_end_may_read_as_much(void **state _unused_)
{
	bool usual = speaks_of_memory(do_nothing);

	assert_int_equal(speaks_of_memory(ignore_children), usual);
	assert_int_equal(speaks_of_memory(take_children), usual);
}

#ifdef REEVE_EBPF
static void bpf_that_a_filter_refuses_to_root_is_named(void **state _unused_)
{
	const char *reason = reason_without(&backend_ebpf, SYS_bpf, REEVE_FILE);

	if (geteuid() == 0 && is_in_first_user_namespace())
		assert_says(reason, "a container's filter of system calls is in the way");
	else
		assert_says(reason, "CAP_BPF");
}
#endif

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(perf_that_a_filter_refuses_is_not_put_down_to_the_sysctl),
		cmocka_unit_test(ptrace_that_a_filter_refuses_is_not_put_down_to_yama),
		cmocka_unit_test(memory_that_a_filter_keeps_shut_is_not_put_down_to_yama),
		cmocka_unit_test(who_does_not_learn_how_children_end_may_read_as_much),
		cmocka_unit_test(a_number_is_read_and_what_is_none_is_not),
#ifdef REEVE_EBPF
		cmocka_unit_test(bpf_that_a_filter_refuses_to_root_is_named),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
