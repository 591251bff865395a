/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "core/link.h"
#include "fds.h"
#include "processes.h"
#include <sys/socket.h>

static int sides[2];
static int things[N_LINK_FDS]; /* one descriptor for each place, each on a file of its own */
static unsigned open_before;

static int setup(void **state _unused_)
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sides), 0);
	for (unsigned i = 0; i < N_LINK_FDS; i++) {
		things[i] = fd_memfd("thing", 0);
		assert_true(things[i] >= 0);
	}
	open_before = count_fds();
	return 0;
}

static int teardown(void **state _unused_)
{
	assert_int_equal(count_fds(), open_before);
	link_close_fds(things);
	closep(&sides[0]);
	closep(&sides[1]);
	return 0;
}

static void assert_received(int expected)
{
	struct link_message m = { .type = 99 };
	int table[N_LINK_FDS];

	assert_int_equal(link_receive(sides[1], &m, table), expected);
	assert_int_equal(m.type, 99);
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		assert_int_equal(table[i], -1);
	assert_int_equal(count_fds(), open_before);
}

static void a_message_arrives_as_it_was_sent(void **state _unused_)
{
	struct link_message sent = { .type = LINK_SIGNAL, .slot = 8191, .arg = UINT64_MAX - 5 }, m;
	int table[N_LINK_FDS];

	assert_int_equal(link_send(sides[0], &sent, NULL), 0);
	assert_int_equal(link_receive(sides[1], &m, table), 1);
	assert_memory_equal(&m, &sent, sizeof(m));
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		assert_int_equal(table[i], -1);
}

static void each_descriptor_arrives_at_its_place(void **state _unused_)
{
	for (uint32_t set = 0; set < 1U << N_LINK_FDS; set += 1 + set / 5) {
		struct link_message sent = { .type = LINK_SPAWN, .slot = 1, .fds = set }, m;
		int table[N_LINK_FDS];

		assert_int_equal(link_send(sides[0], &sent, things), 0);
		assert_int_equal(link_receive(sides[1], &m, table), 1);
		assert_int_equal(m.fds, set);
		for (unsigned i = 0; i < N_LINK_FDS; i++) {
			if (!(set & 1U << i)) {
				assert_int_equal(table[i], -1);
				continue;
			}
			assert_true(same_file(table[i], things[i]));
			assert_int_equal(fcntl(table[i], F_GETFD), FD_CLOEXEC);
		}
		link_close_fds(table);
		for (unsigned i = 0; i < N_LINK_FDS; i++)
			assert_int_equal(table[i], -1);
		assert_int_equal(count_fds(), open_before);
	}
}

static void messages_keep_their_order_and_their_bounds(void **state _unused_)
{
	struct link_message m;
	int table[N_LINK_FDS];

	for (uint32_t i = 1; i <= 20; i++) {
		m = (struct link_message){ .type = LINK_CHANGED, .slot = i };
		assert_int_equal(link_send(sides[0], &m, NULL), 0);
	}
	for (uint32_t i = 1; i <= 20; i++) {
		assert_int_equal(link_receive(sides[1], &m, table), 1);
		assert_int_equal(m.slot, i);
	}
	assert_int_equal(link_receive(sides[1], &m, table), -EAGAIN);
}

static void a_full_queue_says_try_again(void **state _unused_)
{
	struct link_message m = { .type = LINK_PING };
	int table[N_LINK_FDS], r, n = 0;

	while ((r = link_send(sides[0], &m, NULL)) == 0)
		assert_true(++n < 1000000);
	assert_int_equal(r, -EAGAIN);
	while (link_receive(sides[1], &m, table) == 1)
		n--;
	assert_int_equal(n, 0);
}

static void a_peer_that_is_gone_is_told_apart(void **state _unused_)
{
	struct link_message m = { .type = LINK_PING };
	int table[N_LINK_FDS];

	assert_int_equal(link_send(sides[0], &m, NULL), 0);
	closep(&sides[0]);
	sides[0] = -1;
	open_before--;
	assert_int_equal(link_receive(sides[1], &m, table), 1); /* what it said before */
	assert_received(0);
	assert_int_equal(link_send(sides[1], &m, NULL), -EPIPE);
}

static void a_message_of_the_wrong_size_is_refused_and_leaks_nothing(void **state _unused_)
{
	struct {
		struct link_message m;
		char more[8];
	} big = { .m = { .type = LINK_SPAWN, .slot = 1 } };

	for (size_t size = 1; size <= sizeof(big); size++) {
		if (size == sizeof(big.m))
			continue;
		big.m.fds = 7;
		assert_int_equal(fd_send(sides[0], &big, size, things, 3), 0);
		assert_received(-EBADMSG);
		big.m.fds = 0;
		assert_int_equal(fd_send(sides[0], &big, size, NULL, 0), 0);
		assert_received(-EBADMSG);
	}
}

static void the_wrong_number_of_descriptors_is_refused_and_leaks_nothing(void **state _unused_)
{
	struct link_message m = { .type = LINK_SPAWN, .slot = 1 };

	for (size_t sent = 0; sent <= N_LINK_FDS; sent++)
		for (unsigned said = 0; said <= N_LINK_FDS; said++) {
			m.fds = (1U << said) - 1;
			if (sent == said)
				continue;
			assert_int_equal(fd_send(sides[0], &m, sizeof(m), things, sent), 0);
			assert_received(-EBADMSG);
		}
}

static void a_place_that_does_not_exist_is_refused_and_leaks_nothing(void **state _unused_)
{
	struct link_message m = { .type = LINK_SPAWN, .slot = 1 };

	m.fds = 1U << N_LINK_FDS;
	assert_int_equal(fd_send(sides[0], &m, sizeof(m), things, 1), 0);
	assert_received(-EBADMSG);
	m.fds = 1U << 31 | 1;
	assert_int_equal(fd_send(sides[0], &m, sizeof(m), things, 2), 0);
	assert_received(-EBADMSG);
	assert_int_equal(fd_send(sides[0], &m, sizeof(m), things, 1), 0);
	assert_received(-EBADMSG);
}

static void more_descriptors_than_there_are_places_leak_nothing(void **state _unused_)
{
	struct link_message m = { .type = LINK_SPAWN, .slot = 1, .fds = 3 };
	int many[FD_PASS_MAX];

	for (unsigned i = 0; i < FD_PASS_MAX; i++)
		many[i] = things[0];
	assert_int_equal(fd_send(sides[0], &m, sizeof(m), many, FD_PASS_MAX), 0);
	assert_received(-EBADMSG);
}

static void an_empty_message_leaks_nothing(void **state _unused_)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec nothing = { 0 };
	struct msghdr message = { .msg_iov = &nothing,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };

	memcpy(CMSG_DATA(&control.header), &things[0], sizeof(int));
	assert_int_equal(sendmsg(sides[0], &message, 0), 0);
	assert_received(-EBADMSG);
}

static void descriptors_that_find_no_room_are_refused_and_leak_nothing(void **state _unused_)
{
	struct link_message m = { .type = LINK_SPAWN, .slot = 1, .fds = 15 }, got;
	struct rlimit old, tight;
	int table[N_LINK_FDS], r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(link_send(sides[0], &m, things), 0);
	/* Two more: all numbers from 0 on are taken, up to the socket's and the things'. */
	tight = (struct rlimit){ (rlim_t)things[N_LINK_FDS - 1] + 3, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	r = link_receive(sides[1], &got, table);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_memory_equal(&got, &m, sizeof(m));
	assert_int_equal(count_fds(), open_before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_arrives_as_it_was_sent),
		TEST(each_descriptor_arrives_at_its_place),
		TEST(messages_keep_their_order_and_their_bounds),
		TEST(a_full_queue_says_try_again),
		TEST(a_peer_that_is_gone_is_told_apart),
		TEST(a_message_of_the_wrong_size_is_refused_and_leaks_nothing),
		TEST(the_wrong_number_of_descriptors_is_refused_and_leaks_nothing),
		TEST(a_place_that_does_not_exist_is_refused_and_leaks_nothing),
		TEST(more_descriptors_than_there_are_places_leak_nothing),
		TEST(an_empty_message_leaks_nothing),
		TEST(descriptors_that_find_no_room_are_refused_and_leak_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
