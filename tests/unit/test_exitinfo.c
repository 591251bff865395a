/* SPDX-License-Identifier: Apache-2.0 */
#include "core/exitinfo.h"
#include "processes.h"

static void an_exit_keeps_its_code(_unused_ void **state)
{
	struct exitinfo x = exitinfo_unpack(exitinfo_pack(CLD_EXITED, 255));

	assert_true(x.known);
	assert_int_equal(x.code, 255);
	assert_int_equal(x.signal, 0);
	assert_false(x.core);
	assert_int_equal(exitinfo_shell_code(&x), 255);
}

static void exit_0_is_not_unknown(_unused_ void **state)
{
	uint64_t word = exitinfo_pack(CLD_EXITED, 0);
	struct exitinfo x = exitinfo_unpack(word);

	assert_true(word != EXIT_WORD_UNKNOWN);
	assert_true(x.known);
	assert_int_equal(x.code, 0);
	assert_int_equal(exitinfo_shell_code(&x), 0);
}

static void death_by_a_signal_is_its_negative_number(_unused_ void **state)
{
	struct exitinfo killed = exitinfo_unpack(exitinfo_pack(CLD_KILLED, SIGKILL));
	struct exitinfo dumped = exitinfo_unpack(exitinfo_pack(CLD_DUMPED, SIGSEGV));

	assert_true(killed.known && dumped.known);
	assert_int_equal(killed.code, -SIGKILL);
	assert_int_equal(killed.signal, SIGKILL);
	assert_false(killed.core);
	assert_int_equal(exitinfo_shell_code(&killed), 137);
	assert_int_equal(dumped.signal, SIGSEGV);
	assert_true(dumped.core);
}

static void what_is_not_an_end_is_unknown(_unused_ void **state)
{
	struct exitinfo x = exitinfo_unpack(EXIT_WORD_UNKNOWN);

	assert_false(x.known);
	assert_int_equal(exitinfo_shell_code(&x), 255);
	assert_int_equal(exitinfo_pack(CLD_STOPPED, SIGSTOP), EXIT_WORD_UNKNOWN);
	assert_int_equal(exitinfo_pack_status(0x137f), EXIT_WORD_UNKNOWN); /* stopped by SIGSTOP */
}

static void a_wait_status_gives_the_same_word_as_siginfo(_unused_ void **state)
{
	assert_int_equal(exitinfo_pack_status(7 << 8), exitinfo_pack(CLD_EXITED, 7));
	assert_int_equal(exitinfo_pack_status(SIGTERM), exitinfo_pack(CLD_KILLED, SIGTERM));
	assert_int_equal(exitinfo_pack_status(SIGABRT | 0x80), exitinfo_pack(CLD_DUMPED, SIGABRT));
}

static void role_exit_7(struct shared *s)
{
	report(s);
	_exit(7);
}

static void a_zombie_tells_its_code(_unused_ void **state)
{
	pid_t pid = start(0, role_exit_7, shared_new());
	uint64_t word = 0;

	wait_until(state_of(pid) == 'Z');
	assert_int_equal(exitinfo_from_zombie(pid, &word), 0);
	assert_int_equal(word, exitinfo_pack(CLD_EXITED, 7));
	waitpid(pid, NULL, 0);
	assert_int_equal(exitinfo_from_zombie(pid, &word), -ESRCH);
}

static void a_zombie_tells_its_signal_and_its_0(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t killed = start(0, role_wait, s), ended = start(0, role_exit, s);
	uint64_t word = 0;

	wait_until(s->ready == 2);
	assert_int_equal(exitinfo_from_zombie(killed, &word), -ENODATA);
	kill(killed, SIGTERM);
	wait_until(state_of(killed) == 'Z' && state_of(ended) == 'Z');
	assert_int_equal(exitinfo_from_zombie(killed, &word), 0);
	assert_int_equal(word, exitinfo_pack(CLD_KILLED, SIGTERM));
	assert_int_equal(exitinfo_from_zombie(ended, &word), 0);
	assert_int_equal(word, exitinfo_pack(CLD_EXITED, 0));
	waitpid(killed, NULL, 0);
	waitpid(ended, NULL, 0);
}

static int cannot_tell(void *userdata)
{
	uint64_t word;

	return exitinfo_from_zombie(*(pid_t *)userdata, &word) == -ENODATA ? 0 : 1;
}

static void a_zombie_of_another_user_does_not_seem_to_have_ended_well(_unused_ void **state)
{
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = start(0, role_exit_7, shared_new());
	wait_until(state_of(pid) == 'Z');
	assert_int_equal(in_child(NOBODY, cannot_tell, &pid), 0);
	waitpid(pid, NULL, 0);
}

static void a_pidfd_tells_after_the_reap(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t pid = start(0, role_wait, s);
	_cleanup_(closep) int pidfd = pidfd_open(pid, 0);
	uint64_t word = 1;
	int r;

	assert_true(pidfd >= 0);
	wait_until(s->ready == 1);
	assert_int_equal(exitinfo_from_pidfd(pidfd, &word), -ENODATA);
	kill(pid, SIGUSR1);
	waitpid(pid, NULL, 0);
	r = exitinfo_from_pidfd(pidfd, &word);
	if (r == -ENODATA)
		skip(); /* before Linux 6.15 */
	assert_int_equal(r, 0);
	assert_int_equal(word, exitinfo_pack(CLD_KILLED, SIGUSR1));
}

static void what_is_no_pidfd_has_nothing_to_tell(_unused_ void **state)
{
	_cleanup_(closep) int fd = memfd_create("none", MFD_CLOEXEC);
	uint64_t word;

	assert_int_equal(exitinfo_from_pidfd(fd, &word), -ENODATA);
	assert_int_equal(exitinfo_from_pidfd(-1, &word), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exit_keeps_its_code),
		cmocka_unit_test(exit_0_is_not_unknown),
		cmocka_unit_test(death_by_a_signal_is_its_negative_number),
		cmocka_unit_test(what_is_not_an_end_is_unknown),
		cmocka_unit_test(a_wait_status_gives_the_same_word_as_siginfo),
		cmocka_unit_test(a_zombie_tells_its_code),
		cmocka_unit_test(a_zombie_tells_its_signal_and_its_0),
		cmocka_unit_test(a_zombie_of_another_user_does_not_seem_to_have_ended_well),
		cmocka_unit_test(a_pidfd_tells_after_the_reap),
		cmocka_unit_test(what_is_no_pidfd_has_nothing_to_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
