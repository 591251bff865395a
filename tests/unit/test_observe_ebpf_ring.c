/* SPDX-License-Identifier: Apache-2.0 */
/* Both rings are read as one: in the order of the times, a turn at a time. The rings are ours. */
#include "base/cleanup.h"
#include "observe/ebpf.h"
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE   65536U /* of each ring */
#define HEADER 8U
#define TURN   4U

static struct fake {
	uint64_t consumed, produced;
	_Alignas(8) char data[SIZE];
} fakes[RINGS];
static struct ebpf_ring rings[RINGS];
static struct taken {
	unsigned ring;
	uint64_t time, next;
} taken[64];
static unsigned n_taken;

static int set_up(void **state _unused_)
{
	memset(fakes, 0, sizeof(fakes));
	n_taken = 0;
	for (unsigned i = 0; i < RINGS; i++)
		rings[i] = (struct ebpf_ring){
			.consumed = &fakes[i].consumed,
			.produced = &fakes[i].produced,
			.data = fakes[i].data,
			.size = SIZE,
		};
	return 0;
}

static void put(unsigned ring, uint64_t time, uint32_t bits)
{
	struct fake *f = &fakes[ring];
	char *at = f->data + f->produced;
	uint32_t word = (uint32_t)sizeof(struct record) | bits;

	memcpy(at, &word, sizeof(word));
	((struct record *)(void *)(at + HEADER))->time = time;
	f->produced += HEADER + sizeof(struct record);
	assert_true(f->produced <= SIZE);
}

static void note(void *userdata _unused_, unsigned ring, const struct record *record, uint64_t next)
{
	assert_true(n_taken < ARRAY_SIZE(taken));
	taken[n_taken++] = (struct taken){ ring, record->time, next };
}

/* Reads one turn; returns whether others wait. */
static bool turn(void)
{
	bool more;

	(void)ebpf_rings_read(rings, TURN, note, NULL, &more);
	return more;
}

static void assert_times(const uint64_t *times, unsigned n)
{
	assert_int_equal(n_taken, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(taken[i].time, times[i]);
}

static void what_a_process_did_comes_before_its_end(void **state _unused_)
{
	put(RING_PROCESS, 1, 0);
	put(RING_PROCESS, 4, 0);
	put(RING_BULK, 2, 0);
	put(RING_BULK, 3, 0);
	put(RING_BULK, 5, 0);
	assert_false(turn());
	assert_times((uint64_t[]){ 1, 2, 3, 4, 5 }, 5);
	assert_int_equal(taken[3].ring, RING_PROCESS);
	assert_int_equal(taken[3].next, fakes[RING_PROCESS].produced);
	for (unsigned i = 0; i < RINGS; i++)
		assert_int_equal(fakes[i].consumed, fakes[i].produced);
}

static void an_end_waits_for_the_next_turn_behind_what_was_done_before(void **state _unused_)
{
	put(RING_PROCESS, 100, 0);
	for (unsigned i = 1; i <= TURN + 1; i++)
		put(RING_BULK, i, 0);
	assert_true(turn());
	assert_times((uint64_t[]){ 1, 2, 3, 4 }, TURN);
	assert_int_equal(fakes[RING_PROCESS].consumed, 0);
	assert_false(turn());
	assert_times((uint64_t[]){ 1, 2, 3, 4, 5, 100 }, TURN + 2);
}

static void a_ring_that_fills_waits_for_nobody(void **state _unused_)
{
	const unsigned n = SIZE / EBPF_PRESSES / sizeof(struct record) + 1;

	for (unsigned i = 0; i < n; i++)
		put(RING_PROCESS, 100 + i, 0);
	for (unsigned i = 1; i <= TURN + 1; i++)
		put(RING_BULK, i, 0);
	assert_true(turn());
	assert_times((uint64_t[]){ 1, 2, 3, 4, 100, 101, 102, 103 }, 2 * TURN);
}

static void what_is_being_written_holds_up_its_own_ring_only(void **state _unused_)
{
	put(RING_BULK, 1, BPF_RINGBUF_BUSY_BIT);
	put(RING_BULK, 2, 0);
	put(RING_PROCESS, 3, 0);
	assert_false(turn());
	assert_times((uint64_t[]){ 3 }, 1);
	assert_int_equal(fakes[RING_BULK].consumed, 0);
}

static void what_was_discarded_is_passed_over(void **state _unused_)
{
	put(RING_BULK, 1, BPF_RINGBUF_DISCARD_BIT);
	put(RING_BULK, 2, 0);
	put(RING_BULK, 3, BPF_RINGBUF_DISCARD_BIT);
	assert_false(turn());
	assert_times((uint64_t[]){ 2 }, 1);
	assert_int_equal(fakes[RING_BULK].consumed, fakes[RING_BULK].produced);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_a_process_did_comes_before_its_end, set_up),
		cmocka_unit_test_setup(an_end_waits_for_the_next_turn_behind_what_was_done_before,
				       set_up),
		cmocka_unit_test_setup(a_ring_that_fills_waits_for_nobody, set_up),
		cmocka_unit_test_setup(what_is_being_written_holds_up_its_own_ring_only, set_up),
		cmocka_unit_test_setup(what_was_discarded_is_passed_over, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
