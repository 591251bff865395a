/* SPDX-License-Identifier: Apache-2.0 */
#include "core/control.h"
#include "processes.h"
#include <stddef.h>

static void records_do_not_overlap_and_fill_the_memory(void **state _unused_)
{
	char *memory = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_ptr_equal(control_daemon(memory), memory);
	for (unsigned i = 1; i < CONTROL_SLOTS; i++) {
		assert_ptr_equal(control_slot(memory, i), memory + (size_t)CONTROL_RECORD * i);
		memset((void *)control_slot(memory, i), (int)i, sizeof(struct control_slot));
	}
	for (size_t i = 0; i < CONTROL_RECORD; i++)
		assert_int_equal(memory[i], 0);
	munmap(memory, CONTROL_SIZE);
}

static void every_word_is_aligned_and_stored_at_once(void **state _unused_)
{
	struct word w;

	assert_int_equal(sizeof(w), 8);
	assert_true(atomic_is_lock_free(&w.value));
	assert_int_equal(CONTROL_RECORD % 64, 0);
	assert_int_equal(offsetof(struct control_slot, streams) % 8, 0);
	word_store(&w, UINT64_MAX);
	assert_int_equal(word_load(&w), UINT64_MAX);
}

static void the_pid_is_the_low_half_of_its_word(void **state _unused_)
{
	struct control_slot slot = { 0 };

	assert_int_equal(slot_pid(&slot), 0);
	word_store(&slot.pid, 0xffffffff00000000ULL | 1234);
	assert_int_equal(slot_pid(&slot), 1234);
	*(int *)&slot.pid = 77; /* as the kernel stores it */
	assert_int_equal(word_load(&slot.pid), 0xffffffff00000000ULL | 77);
}

static void a_pid_that_no_child_can_have_is_none(void **state _unused_)
{
	static const int odd[] = { 1, -1, -1234, INT32_MIN };
	struct control_slot slot = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		*(int *)&slot.pid = odd[i];
		assert_int_equal(slot_pid(&slot), 0);
	}
}

static void a_record_of_zeros_is_free(void **state _unused_)
{
	struct control_slot slot;

	memset((void *)&slot, 0, sizeof(slot));
	assert_int_equal(word_load(&slot.state), SLOT_FREE);
	assert_int_equal(word_load(&slot.spawn), SPAWN_NONE);
	assert_int_equal(word_load(&slot.step), STEP_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_do_not_overlap_and_fill_the_memory),
		cmocka_unit_test(every_word_is_aligned_and_stored_at_once),
		cmocka_unit_test(the_pid_is_the_low_half_of_its_word),
		cmocka_unit_test(a_pid_that_no_child_can_have_is_none),
		cmocka_unit_test(a_record_of_zeros_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
