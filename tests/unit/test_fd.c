/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A fixture: the two ends of a SEQPACKET socket. */
static int make_pair(void **state)
{
	int *pair = calloc(2, sizeof(int));

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*state = pair;
	return 0;
}

static int drop_pair(void **state)
{
	int *pair = *state;

	fd_close(pair[0]);
	fd_close(pair[1]);
	free(pair);
	return 0;
}

static void closing_nothing_is_fine_and_keeps_errno(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd;

	(void)state;
	errno = EDOM;
	assert_int_equal(fd_close(-1), -1);
	assert_int_equal(fd_close(fd), -1);
	assert_int_equal(fd_close(fd), -1);
	assert_int_equal(errno, EDOM);
	closep(&copy);
	assert_int_equal(copy, -1);
}

static void nonblock_is_switched_on_and_off(void **state)
{
	int *pair = *state;

	assert_int_equal(fd_set_nonblock(pair[0], false), 0);
	assert_false(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_nonblock(pair[0], true), 0);
	assert_int_equal(fd_set_nonblock(pair[0], true), 0);
	assert_true(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_nonblock(-1, true), -EBADF);
}

static void what_was_written_is_read_in_full(void **state)
{
	char in[100000], out[sizeof(in) + 1];
	_cleanup_(closep) int fd = fd_memfd("test", 0);

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 7);
	assert_int_equal(fd_write_all(fd, in, sizeof(in)), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_full(fd, out, sizeof(out)), sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(fd_read_full(-1, out, 1), -EBADF);
	assert_int_equal(fd_write_all(-1, out, 1), -EBADF);
}

static void a_file_of_the_largest_size_is_read_and_one_larger_is_not(void **state)
{
	char name[] = "/tmp/test_fd.XXXXXX", bytes[5000];
	_cleanup_(closep) int fd = mkstemp(name);
	_cleanup_(freep) char *text = NULL;
	size_t size = 1;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(fd_read_file(name, 10, &text, &size), 0);
	assert_int_equal(size, 0);
	assert_string_equal(text, "");
	free(take(text));
	assert_int_equal(fd_write_all(fd, bytes, sizeof(bytes)), 0);
	assert_int_equal(fd_read_file(name, sizeof(bytes) - 1, &text, &size), -EFBIG);
	assert_null(text);
	assert_int_equal(fd_read_file(name, sizeof(bytes), &text, &size), 0);
	assert_int_equal(size, sizeof(bytes));
	assert_int_equal(strlen(text), size);
	unlink(name);
	assert_int_equal(fd_read_file(name, 10, &text, &size), -ENOENT);
}

static void a_file_without_a_size_is_read_at_a_directory(void **state)
{
	_cleanup_(closep) int dir = open("/proc/self", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *text = NULL;

	(void)state;
	assert_int_equal(fd_read_file_at(dir, "limits", 64 * KiB, &text, NULL), 0);
	assert_non_null(strstr(text, "Max open files"));
}

static void descriptors_pass_and_are_cloexec(void **state)
{
	int *pair = *state, sent[FD_PASS_MAX], got[FD_PASS_MAX];
	char data[16];
	size_t n = 0;

	for (unsigned i = 0; i < FD_PASS_MAX; i++)
		sent[i] = fd_memfd("passed", i);
	assert_int_equal(fd_send(pair[0], "hello", 5, sent, FD_PASS_MAX), 0);
	assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, FD_PASS_MAX, &n), 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(n, FD_PASS_MAX);
	for (unsigned i = 0; i < FD_PASS_MAX; i++) {
		assert_int_equal(lseek(got[i], 0, SEEK_END), i);
		assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
		fd_close(got[i]);
		fd_close(sent[i]);
	}
}

static void a_message_without_descriptors_needs_no_room_for_them(void **state)
{
	int *pair = *state;
	char data[5];

	assert_int_equal(fd_recv(pair[1], data, sizeof(data), NULL, 0, NULL), -EAGAIN);
	assert_int_equal(fd_send(pair[0], "hello", 5, NULL, 0), 0);
	assert_int_equal(fd_recv(pair[1], data, sizeof(data), NULL, 0, NULL), 5);
	pair[0] = fd_close(pair[0]);
	assert_int_equal(fd_recv(pair[1], data, sizeof(data), NULL, 0, NULL), 0);
	assert_int_equal(fd_send(pair[1], "hello", 5, NULL, 0), -EPIPE);
}

static void a_peer_that_is_gone_is_an_error_and_no_signal(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fd_close(pair[1]);
	assert_int_equal(fd_send(pair[0], "hello", 5, NULL, 0), -EPIPE);
	fd_close(pair[0]);
}

static void a_message_that_does_not_fit_leaves_nothing_behind(void **state)
{
	int *pair = *state, sent[3] = { 0, 1, 2 }, got[3] = { -7, -7, -7 };
	unsigned before = count_open_fds();
	size_t n = 42;
	char data[8];

	assert_int_equal(fd_send(pair[0], "too long", 8, sent, 3), 0);
	assert_int_equal(fd_recv(pair[1], data, 7, got, 3, &n), -EMSGSIZE);
	assert_int_equal(fd_send(pair[0], "surplus", 7, sent, 3), 0);
	assert_int_equal(fd_recv(pair[1], data, 8, got, 2, &n), -EMSGSIZE);
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(n, 42);
	assert_int_equal(got[0], -7);
	assert_int_equal(fd_send(pair[0], "next", 4, NULL, 0), 0);
	assert_int_equal(fd_recv(pair[1], data, 8, got, 2, &n), 4);
	assert_int_equal(n, 0);
}

static void descriptors_beyond_the_limit_of_the_process_do_not_leak(void **state)
{
	int *pair = *state, sent[3] = { 0, 0, 0 }, got[3];
	struct rlimit limit, low;
	unsigned before;
	size_t n;
	char c;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = count_open_fds();
	assert_int_equal(fd_send(pair[0], "x", 1, sent, 3), 0);
	low = limit;
	low.rlim_cur = (rlim_t)fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
	fd_close((int)low.rlim_cur);
	low.rlim_cur++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(fd_recv(pair[1], &c, 1, got, 3, &n), -EMFILE);
	assert_int_equal(c, 'x');
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(count_open_fds(), before);
}

static void too_many_descriptors_and_empty_messages_are_refused(void **state)
{
	int *pair = *state, fds[FD_PASS_MAX + 1] = { 0 };

	assert_int_equal(fd_send(pair[0], "x", 1, fds, FD_PASS_MAX + 1), -EINVAL);
	assert_int_equal(fd_send(pair[0], "", 0, fds, 1), -EINVAL);
}

static void a_sealed_memfd_stays_as_it_is(void **state)
{
	_cleanup_(closep) int fd = fd_memfd("sealed", 4096);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)state;
	assert_ptr_not_equal(map, MAP_FAILED);
	memcpy(map, "kept", 4);
	assert_int_equal(fd_seal(fd), -EBUSY);
	assert_int_equal(munmap(map, 4096), 0);
	assert_int_equal(fd_seal(fd), 0);
	assert_int_equal(fd_write_all(fd, "lost", 4), -EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void the_soft_limit_rises_to_the_hard_one(void **state)
{
	struct rlimit limit, low;
	uint64_t raised = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(fd_raise_nofile(&raised), 0);
	assert_int_equal(raised, limit.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(low.rlim_cur, limit.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

#define WITH_PAIR(f) cmocka_unit_test_setup_teardown(f, make_pair, drop_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closing_nothing_is_fine_and_keeps_errno),
		WITH_PAIR(nonblock_is_switched_on_and_off),
		cmocka_unit_test(what_was_written_is_read_in_full),
		cmocka_unit_test(a_file_of_the_largest_size_is_read_and_one_larger_is_not),
		cmocka_unit_test(a_file_without_a_size_is_read_at_a_directory),
		WITH_PAIR(descriptors_pass_and_are_cloexec),
		WITH_PAIR(a_message_without_descriptors_needs_no_room_for_them),
		cmocka_unit_test(a_peer_that_is_gone_is_an_error_and_no_signal),
		WITH_PAIR(a_message_that_does_not_fit_leaves_nothing_behind),
		WITH_PAIR(descriptors_beyond_the_limit_of_the_process_do_not_leak),
		WITH_PAIR(too_many_descriptors_and_empty_messages_are_refused),
		cmocka_unit_test(a_sealed_memfd_stays_as_it_is),
		cmocka_unit_test(the_soft_limit_rises_to_the_hard_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
