/* SPDX-License-Identifier: Apache-2.0 */
/* What a child does to itself before its execve: filters of system calls and their listeners. */
#include "base/cleanup.h"
#include "core/entry.h"
#include "spawner.h"
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define OK 0

/* `action` for one system call, whatever the architecture. */
static struct entry filter_of(unsigned nr, uint32_t action, uint32_t flags)
{
	struct entry e = { .n = 4, .flags = flags };

	e.code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	e.code[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1);
	e.code[2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
	e.code[3] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return e;
}

static int refuse_umask(void *userdata _unused_)
{
	struct entry e = filter_of(SYS_umask, SECCOMP_RET_ERRNO | EDOM, 0);

	if (entry_apply(&e) != 0)
		return 1;
	return syscall(SYS_umask, 022) == -1 && errno == EDOM ? OK : 2;
}

static void a_filter_holds_for_any_user(void **state _unused_)
{
	assert_int_equal(in_child(0, refuse_umask, NULL), OK);
	if (getuid() == 0)
		assert_int_equal(in_child(NOBODY, refuse_umask, NULL), OK);
}

static int see_privileges(void *userdata _unused_)
{
	struct entry e = filter_of(SYS_umask, SECCOMP_RET_ALLOW, 0);

	return entry_apply(&e) == 0 ? prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) : 99;
}

static void only_an_ordinary_user_loses_the_way_to_new_privileges(void **state _unused_)
{
	if (getuid() != 0) {
		assert_int_equal(in_child(0, see_privileges, NULL), 1);
		return;
	}
	assert_int_equal(in_child(0, see_privileges, NULL), 0);
	assert_int_equal(in_child(NOBODY, see_privileges, NULL), 1);
}

static int do_nothing(void *userdata _unused_)
{
	struct entry e = { 0 };

	return entry_apply(&e) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 &&
			       prctl(PR_GET_SECCOMP) == 0
		       ? OK
		       : 1;
}

static void without_instructions_nothing_is_done(void **state _unused_)
{
	if (prctl(PR_GET_SECCOMP) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0)
		skip(); /* under a container's filter */
	assert_int_equal(in_child(0, do_nothing, NULL), OK);
}

static int two_listeners(void *userdata _unused_)
{
	struct entry e = filter_of(SYS_umask, SECCOMP_RET_USER_NOTIF, ENTRY_LISTENER);
	int first = entry_apply(&e);

	if (first <= 0)
		return 1;
	return entry_apply(&e) == -EBUSY && fcntl(first, F_GETFD) == FD_CLOEXEC ? OK : 2;
}

static void a_second_listener_is_busy(void **state _unused_)
{
	assert_int_equal(in_child(0, two_listeners, NULL), OK);
}

static void one_too_long_is_refused(void **state _unused_)
{
	struct entry e = { .n = ENTRY_CODE_MAX + 1 };

	assert_int_equal(entry_apply(&e), -EINVAL);
}

static void a_child_that_ends_before_it_tells_is_noticed(void **state _unused_)
{
	int gate[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate), 0);
	pid = fork();
	if (pid == 0)
		_exit(0);
	close(gate[0]);
	assert_int_equal(entry_hear(pid, gate[1]), -ECHILD);
	close(gate[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* --- a spawned command ----------------------------------------------------------------------- */

/* Lets one waiting call pass; which it was. */
static int let_pass(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	struct seccomp_notif n = { 0 };
	struct seccomp_notif_resp go_on = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n), 0);
	go_on.id = n.id;
	assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on), 0);
	return n.data.nr;
}

static void a_gated_command_waits_in_its_execve_until_it_is_let_pass(void **state _unused_)
{
	struct pollfd p = { .events = POLLIN };
	int gate[2], listener;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate), 0);
	plan.spec.header.entry = filter_of(SYS_execve, SECCOMP_RET_USER_NOTIF, ENTRY_LISTENER);
	plan.fds.gate = gate[0];
	plan.not_for_it = gate[1];
	pid = spawn(ARGV("/bin/true"));
	close(gate[0]);
	listener = entry_hear(pid, gate[1]);
	assert_true(listener > 0);
	wait_until(word_load(&outcome->slot.step) == STEP_GATE);
	p.fd = listener;
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(write(gate[1], "g", 1), 1);
	assert_int_equal(let_pass(listener), SYS_execve);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(word_load(&outcome->slot.fail), 0);
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_true((p.revents & POLLHUP) != 0); /* nobody is under the filter any more */
	close(listener);
	close(gate[1]);
}

static void a_filter_that_cannot_be_installed_ends_no_command(void **state _unused_)
{
	int gate[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate), 0);
	plan.spec.header.entry = (struct entry){ .n = 1 }; /* returns nothing: no program */
	plan.fds.gate = gate[0];
	plan.not_for_it = gate[1];
	pid = spawn(ARGV("/bin/true"));
	close(gate[0]);
	assert_int_equal(entry_hear(pid, gate[1]), -EINVAL);
	assert_int_equal(write(gate[1], "g", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(gate[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_filter_holds_for_any_user),
		cmocka_unit_test(only_an_ordinary_user_loses_the_way_to_new_privileges),
		cmocka_unit_test(without_instructions_nothing_is_done),
		cmocka_unit_test(a_second_listener_is_busy),
		cmocka_unit_test(one_too_long_is_refused),
		cmocka_unit_test(a_child_that_ends_before_it_tells_is_noticed),
		cmocka_unit_test_setup_teardown(
			a_gated_command_waits_in_its_execve_until_it_is_let_pass, spawner_setup,
			spawner_teardown),
		cmocka_unit_test_setup_teardown(a_filter_that_cannot_be_installed_ends_no_command,
						spawner_setup, spawner_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
