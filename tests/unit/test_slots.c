/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "fds.h"
#include "keeper/keeper.h"
#include "moves.h"
#include <sys/socket.h>

static struct keeper k;
static int engine; /* the engine's side of the socket */
static unsigned open_before;

static int setup(void **state _unused_)
{
	int pair[2];

	memset(&k, 0, sizeof(k));
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	k.engine.sock = pair[0];
	engine = pair[1];
	open_before = count_fds();
	return 0;
}

static int teardown(void **state _unused_)
{
	for (unsigned i = 1; i < CONTROL_SLOTS; i++)
		slot_release(&k, i);
	assert_int_equal(count_fds(), open_before);
	closep(&k.engine.sock);
	closep(&engine);
	return 0;
}

static void no_fds(int table[N_LINK_FDS])
{
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		table[i] = -1;
}

static int new_fd(void)
{
	int fd = fd_memfd("thing", 0);

	assert_true(fd >= 0);
	return fd;
}

static void give(unsigned slot, uint32_t set)
{
	int table[N_LINK_FDS];

	no_fds(table);
	for (unsigned i = 0; i < N_LINK_FDS; i++)
		if (set & 1U << i)
			table[i] = new_fd();
	slot_take_fds(&k, slot, table);
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		assert_int_equal(table[i], -1);
	link_close_fds(table);
}

/* --- leaders by pid -------------------------------------------------------------------------- */

static void an_unknown_pid_is_nobodys(void **state _unused_)
{
	assert_int_equal(slot_of_pid(&k, 1), 0);
	slot_forget_pid(&k, 1);
	slot_note_pid(&k, 9, 100);
	assert_int_equal(slot_of_pid(&k, 100), 9);
	assert_int_equal(slot_of_pid(&k, 101), 0);
	slot_forget_pid(&k, 101);
	assert_int_equal(slot_of_pid(&k, 100), 9);
	slot_forget_pid(&k, 100);
	assert_int_equal(slot_of_pid(&k, 100), 0);
}

static void a_pid_that_is_used_again_is_the_new_ones(void **state _unused_)
{
	slot_note_pid(&k, 3, 500);
	slot_note_pid(&k, 4, 500);
	assert_int_equal(slot_of_pid(&k, 500), 4);
	slot_forget_pid(&k, 500);
	assert_int_equal(slot_of_pid(&k, 500), 0);
}

#define MODEL_PIDS 3000U

/* Pids as they come: some in a row, many of them on the same few places of the table. */
static pid_t model_pid(unsigned i)
{
	return i % 2 ? (pid_t)(1000 + i) : (pid_t)(7 + i / 2 * PID_TABLE);
}

static void the_table_agrees_with_a_list_whatever_comes_and_goes(void **state _unused_)
{
	static unsigned model[MODEL_PIDS];
	uint64_t seed = 1;

	memset(model, 0, sizeof(model));
	for (int round = 0; round < 60000; round++) {
		unsigned i = random_below(&seed, MODEL_PIDS);

		if (random_below(&seed, 20) < (round / 10000 % 2 ? 12 : 8)) {
			slot_forget_pid(&k, model_pid(i));
			model[i] = 0;
		} else {
			model[i] = 1 + random_below(&seed, CONTROL_SLOTS - 1);
			slot_note_pid(&k, model[i], model_pid(i));
		}
		i = random_below(&seed, MODEL_PIDS);
		assert_int_equal(slot_of_pid(&k, model_pid(i)), model[i]);
		if (round % 6000 == 0)
			for (i = 0; i < MODEL_PIDS; i++)
				assert_int_equal(slot_of_pid(&k, model_pid(i)), model[i]);
	}
}

static void all_slots_may_have_a_leader_at_once(void **state _unused_)
{
	for (unsigned i = 1; i < CONTROL_SLOTS; i++)
		slot_note_pid(&k, i, (pid_t)(100000 + 3 * i));
	for (unsigned i = 1; i < CONTROL_SLOTS; i++)
		assert_int_equal(slot_of_pid(&k, (pid_t)(100000 + 3 * i)), i);
	assert_int_equal(slot_of_pid(&k, 99), 0);
	for (unsigned i = 1; i < CONTROL_SLOTS; i++)
		slot_forget_pid(&k, (pid_t)(100000 + 3 * i));
	for (unsigned i = 0; i < PID_TABLE; i++)
		assert_int_equal(k.pids[i].pid, 0);
}

/* --- descriptors ------------------------------------------------------------------------------ */

static void a_slot_holds_what_it_was_given(void **state _unused_)
{
	give(5, 1U << SLOT_FD_MEMORY | 1U << SLOT_FD_OUT | 1U << SLOT_FD_SPEC);
	assert_true(slot_holds(&k, 5, SLOT_FD_MEMORY));
	assert_true(slot_holds(&k, 5, SLOT_FD_OUT));
	assert_false(slot_holds(&k, 5, SLOT_FD_IN));
	assert_false(slot_holds(&k, 6, SLOT_FD_OUT));
	assert_int_equal(count_fds(), open_before + 2);
	assert_int_equal(k.top_slot, 5);
}

static void what_is_given_again_replaces_what_was_there(void **state _unused_)
{
	give(5, 1U << SLOT_FD_MEMORY | 1U << SLOT_FD_OUT);
	give(5, 1U << SLOT_FD_OUT | 1U << SLOT_FD_ERR);
	assert_int_equal(count_fds(), open_before + 3);
}

static void only_what_is_named_is_closed(void **state _unused_)
{
	give(5, (1U << N_SLOT_FDS) - 1);
	slot_close_fds(&k, 5, 1U << SLOT_FD_OUT | 1U << SLOT_FD_CHILD_IN | 1U << 31);
	assert_int_equal(count_fds(), open_before + N_SLOT_FDS - 1);
	assert_false(slot_holds(&k, 5, SLOT_FD_OUT));
	slot_close_fds(&k, 5, 1U << SLOT_FD_OUT); /* and not a second time */
	assert_true(slot_holds(&k, 5, SLOT_FD_ERR));
	assert_int_equal(count_fds(), open_before + N_SLOT_FDS - 1);
}

static void a_released_slot_holds_nothing_and_counts_for_nothing(void **state _unused_)
{
	give(5, (1U << N_SLOT_FDS) - 1);
	k.slots[5].watched = k.slots[5].stopping = k.slots[5].dirty = true;
	k.n_watched = k.n_stopping = k.n_dirty = 3;
	slot_release(&k, 5);
	assert_int_equal(k.slots[5].held, 0);
	assert_int_equal(k.n_watched, 2);
	assert_int_equal(k.n_stopping, 2);
	assert_int_equal(k.n_dirty, 2);
	slot_release(&k, 5);
	assert_int_equal(k.n_watched, 2);
	assert_int_equal(count_fds(), open_before);
}

/* --- telling the engine ----------------------------------------------------------------------- */

static void assert_told(unsigned slot, bool with_pidfd)
{
	struct link_message m;
	int table[N_LINK_FDS];

	assert_int_equal(link_receive(engine, &m, table), 1);
	assert_int_equal(m.type, LINK_CHANGED);
	assert_int_equal(m.slot, slot);
	assert_int_equal(m.fds, with_pidfd ? 1U << SLOT_FD_PID : 0);
	if (with_pidfd)
		assert_true(same_file(table[SLOT_FD_PID], k.slots[slot].fds[SLOT_FD_PID]));
	link_close_fds(table);
}

static void assert_told_nothing(void)
{
	struct link_message m;
	int table[N_LINK_FDS];

	assert_int_equal(link_receive(engine, &m, table), -EAGAIN);
}

static void a_change_is_told_at_once(void **state _unused_)
{
	slot_changed(&k, 12);
	assert_told(12, false);
	assert_told_nothing();
	assert_int_equal(k.n_dirty, 0);
}

static void the_pidfd_goes_along_once(void **state _unused_)
{
	give(12, 1U << SLOT_FD_PID);
	k.slots[12].send_pid = true;
	slot_changed(&k, 12);
	slot_changed(&k, 12);
	assert_told(12, true);
	assert_told(12, false);
}

static void fill_the_queue(void)
{
	struct link_message m = { .type = LINK_PING };

	while (engine_send(&k, &m, NULL) == 0)
		;
}

static void empty_the_queue(void)
{
	struct link_message m;
	int table[N_LINK_FDS];

	while (link_receive(engine, &m, table) == 1)
		assert_int_equal(m.type, LINK_PING);
}

static void a_change_that_finds_no_room_is_told_later_and_once(void **state _unused_)
{
	give(2, 1U << SLOT_FD_PID);
	give(4000, 1U << SLOT_FD_OUT);
	k.slots[2].send_pid = true;
	fill_the_queue();
	slot_changed(&k, 2);
	slot_changed(&k, 4000);
	slot_changed(&k, 2);
	assert_int_equal(k.n_dirty, 2);
	slots_flush(&k); /* still no room */
	assert_int_equal(k.n_dirty, 2);
	empty_the_queue();
	slots_flush(&k);
	assert_int_equal(k.n_dirty, 0);
	assert_told(2, true);
	assert_told(4000, false);
	assert_told_nothing();
	slots_flush(&k);
	assert_told_nothing();
	slot_changed(&k, 2);
	assert_told(2, false);
}

static void without_an_engine_changes_wait_for_the_next(void **state _unused_)
{
	int sock = k.engine.sock;

	k.engine.sock = -1;
	give(7, 1U << SLOT_FD_OUT);
	slot_changed(&k, 7);
	slots_flush(&k);
	assert_int_equal(k.n_dirty, 1);
	k.engine.sock = sock;
	slots_flush(&k);
	assert_told(7, false);
	assert_int_equal(k.n_dirty, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_unknown_pid_is_nobodys),
		TEST(a_pid_that_is_used_again_is_the_new_ones),
		TEST(the_table_agrees_with_a_list_whatever_comes_and_goes),
		TEST(all_slots_may_have_a_leader_at_once),
		TEST(a_slot_holds_what_it_was_given),
		TEST(what_is_given_again_replaces_what_was_there),
		TEST(only_what_is_named_is_closed),
		TEST(a_released_slot_holds_nothing_and_counts_for_nothing),
		TEST(a_change_is_told_at_once),
		TEST(the_pidfd_goes_along_once),
		TEST(a_change_that_finds_no_room_is_told_later_and_once),
		TEST(without_an_engine_changes_wait_for_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
