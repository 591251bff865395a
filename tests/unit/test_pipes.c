/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pipes.h"
#include "processes.h"

static int fds[2];

static int close_both(void **state _unused_)
{
	closep(&fds[0]);
	closep(&fds[1]);
	return 0;
}

static void the_ends_that_were_asked_for_do_not_block(void **state _unused_)
{
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pipe_make(fds, i & 1, i & 2, 0), 0);
		assert_int_equal(!!(fcntl(fds[0], F_GETFL) & O_NONBLOCK), i & 1);
		assert_int_equal(!!(fcntl(fds[1], F_GETFL) & O_NONBLOCK), i >> 1);
		for (int end = 0; end < 2; end++)
			assert_int_equal(fcntl(fds[end], F_GETFD), FD_CLOEXEC);
		close_both(NULL);
	}
}

static void a_pipe_has_the_size_that_was_asked_for(void **state _unused_)
{
	assert_int_equal(pipe_make(fds, 1, 1, 4096), 0);
	assert_int_equal(fcntl(fds[0], F_GETPIPE_SZ), 4096);
}

static void a_size_that_the_kernel_refuses_is_no_error(void **state _unused_)
{
	assert_int_equal(pipe_make(fds, 1, 1, 1U << 31), 0);
	assert_true(fcntl(fds[0], F_GETPIPE_SZ) > 0);
}

static void without_descriptors_there_is_no_pipe(void **state _unused_)
{
	struct rlimit old, none = { 0 };

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fds[0] = fds[1] = -7;
	assert_int_equal(pipe_make(fds, 1, 1, 0), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(fds[0], -7);
	assert_int_equal(fds[1], -7);
}

static void the_kernel_counts_what_waits(void **state _unused_)
{
	char byte;

	assert_int_equal(pipe_make(fds, 1, 1, 0), 0);
	assert_int_equal(pipe_fill(fds[0]), 0);
	assert_int_equal(write(fds[1], "hello", 5), 5);
	assert_int_equal(pipe_fill(fds[0]), 5);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_int_equal(pipe_fill(fds[0]), 4);
}

static void what_cannot_be_counted_counts_as_nothing(void **state _unused_)
{
	assert_int_equal(pipe_fill(-1), 0);
	assert_int_equal(pipe_empty(-1), 0);
}

static void emptying_says_how_much_there_was(void **state _unused_)
{
	static char data[50000];
	char byte;

	assert_int_equal(pipe_make(fds, 1, 1, 0), 0);
	assert_int_equal(pipe_empty(fds[0]), 0);
	assert_int_equal(write(fds[1], data, sizeof(data)), sizeof(data));
	assert_int_equal(pipe_empty(fds[0]), sizeof(data));
	assert_int_equal(read(fds[0], &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

static void packets_are_counted_whole_though_each_is_read_in_part(void **state _unused_)
{
	static char data[4096];

	assert_int_equal(pipe_make(fds, 1, 1, 1 << 16), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK | O_DIRECT), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(write(fds[1], data, 100 + i), 100 + i);
	assert_int_equal(pipe_fill(fds[0]), 1045);
	assert_int_equal(pipe_empty(fds[0]), 1045);
	assert_int_equal(pipe_fill(fds[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ends_that_were_asked_for_do_not_block),
		cmocka_unit_test_teardown(a_pipe_has_the_size_that_was_asked_for, close_both),
		cmocka_unit_test_teardown(a_size_that_the_kernel_refuses_is_no_error, close_both),
		cmocka_unit_test(without_descriptors_there_is_no_pipe),
		cmocka_unit_test_teardown(the_kernel_counts_what_waits, close_both),
		cmocka_unit_test(what_cannot_be_counted_counts_as_nothing),
		cmocka_unit_test_teardown(emptying_says_how_much_there_was, close_both),
		cmocka_unit_test_teardown(packets_are_counted_whole_though_each_is_read_in_part,
					  close_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
