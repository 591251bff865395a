/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper opens for the engine, which waits for each answer. */
#include "base/fd.h"
#include "fds.h"
#include "keeper/keeper.h"
#include "moves.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define NOBODY 65534

static struct keeper k;
static int engine; /* the engine's side of the socket */

static int setup(void **state _unused_)
{
	int pair[2];

	memset(&k, 0, sizeof(k));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	k.engine.sock = pair[0];
	engine = pair[1];
	return 0;
}

static int teardown(void **state _unused_)
{
	closep(&k.engine.sock);
	closep(&engine);
	return 0;
}

static void ask(uint32_t ticket, int64_t of, int number)
{
	struct link_message m = { .type = LINK_BORROW, .slot = ticket };

	m.arg = (uint64_t)(number + 1) << 32 | (uint32_t)of;
	lending_ask(&k, &m);
}

/* The ticket of the next answer, and its descriptor or -1; UINT32_MAX: there is none. */
static uint32_t hear(int *ret_fd)
{
	struct link_message m;
	int table[N_LINK_FDS];

	if (link_receive(engine, &m, table) != 1)
		return UINT32_MAX;
	assert_int_equal(m.type, LINK_LENT);
	*ret_fd = take_fd(&table[LENT_FD]);
	link_close_fds(table);
	return m.slot;
}

static void memory_can_be_read_by_who_gets_it(void **state _unused_)
{
	static const uint64_t here = 0x5ca1ab1e;
	unsigned before = count_fds();
	uint64_t seen = 0;
	int fd;

	ask(7, getpid(), -1);
	assert_int_equal(hear(&fd), 7);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &seen, sizeof(seen), (off_t)(uintptr_t)&here), sizeof(seen));
	assert_int_equal(seen, here);
	fd_close(fd);
	assert_int_equal(count_fds(), before);
}

static void a_descriptor_is_copied(void **state _unused_)
{
	struct link_message m = { .type = LINK_PONG };
	int fd;

	ask(8, getpid(), engine);
	assert_int_equal(hear(&fd), 8);
	assert_true(fd >= 0 && fd != engine);
	assert_true(link_send(fd, &m, NULL) >= 0); /* on the engine's side */
	fd_close(fd);
}

static void what_is_refused_is_answered_too(void **state _unused_)
{
	int fd;

	ask(1, 0, -1);
	ask(2, -1, -1);
	ask(3, 0x7fffffff, -1);
	ask(4, 0x7fffffff, 0);
	ask(5, getpid(), 1 << 20);
	for (uint32_t ticket = 1; ticket <= 5; ticket++) {
		assert_int_equal(hear(&fd), ticket);
		assert_int_equal(fd, -1);
	}
}

/* All answers that are there; how many. */
static uint32_t hear_all(bool *ret_again)
{
	uint32_t n = 0, ticket;
	int fd;

	while ((ticket = hear(&fd)) != UINT32_MAX) {
		fd_close(fd);
		*ret_again = *ret_again || ticket == 0;
		n += ticket != 0;
	}
	return n;
}

static void who_does_not_get_all_answers_is_told_to_ask_again(void **state _unused_)
{
	bool again = false;
	uint32_t sent = 0, got;

	while (!k.lent_lost)
		ask(++sent, getpid(), -1);
	got = hear_all(&again);
	assert_int_equal(got, sent - 1);
	assert_false(again);
	lending_flush(&k);
	assert_false(k.lent_lost);
	assert_int_equal(hear_all(&again), 0);
	assert_true(again);
	again = false;
	lending_flush(&k);
	(void)hear_all(&again);
	assert_false(again);
}

/* As a user, with a limit of its own: root may have any number on their way. */
static int ask_beyond_the_limit(void)
{
	struct rlimit limit;
	uint32_t n, ticket;
	int fd = -1;

	if (geteuid() == 0 &&
	    (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return 1;
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 2;
	limit.rlim_cur = (rlim_t)engine + 8;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 3;
	n = (uint32_t)limit.rlim_cur + 8;
	for (uint32_t i = 1; i <= n; i++)
		ask(i, getpid(), -1);
	for (uint32_t i = 1; i <= n; i++) {
		ticket = hear(&fd);
		if (ticket != i)
			return 4;
		fd_close(fd);
	}
	return fd >= 0 ? 5 : k.lent_lost ? 6 : 0;
}

static void where_too_many_are_on_their_way_it_goes_on_without(void **state _unused_)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ask_beyond_the_limit());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void an_engine_that_is_gone_is_told_nothing(void **state _unused_)
{
	closep(&engine);
	engine = -1;
	ask(1, getpid(), -1);
	assert_false(k.lent_lost);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory_can_be_read_by_who_gets_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_descriptor_is_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_refused_is_answered_too, setup, teardown),
		cmocka_unit_test_setup_teardown(who_does_not_get_all_answers_is_told_to_ask_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(where_too_many_are_on_their_way_it_goes_on_without,
						setup, teardown),
		cmocka_unit_test_setup_teardown(an_engine_that_is_gone_is_told_nothing, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
