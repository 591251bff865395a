/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of an observed session: what is stored, counted and handed out, and what a successor
 * finds of an event that was being stored. */
#include "engine/observe_memory.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct events_memory memory;
static int memory_fd;

static int set_up(void **state)
{
	(void)state;
	srandom(1);
	return events_make(&memory, 16, &memory_fd);
}

static int tear_down(void **state)
{
	(void)state;
	events_unmap(&memory);
	return close(memory_fd);
}

static unsigned subscribe(uint32_t capacity, enum reeve_category a, enum reeve_category b)
{
	enum reeve_category set[] = { a, b };
	struct reeve_observer_config config;
	int place;

	assert_int_equal(reeve_observer_config_with_categories(set, 2, &config), 0);
	place = events_subscribe(&memory, &config, capacity, false);
	assert_true(place >= 0);
	return (unsigned)place;
}

/* An event whose path is `length` bytes long. */
static void put(enum reeve_category category, size_t length, uint64_t next)
{
	static char path[EVENT_TEXT_MAX];
	struct backend_origin origin = { 0, next };
	struct reeve_event e;

	memset(path, 'p', sizeof(path));
	path[length] = '\0';
	event_init(&e, category, REEVE_OPENED, 7);
	e.fields |= REEVE_HAS_PATH;
	e.path = path;
	events_put(&memory, &e, &origin, 0);
}

static const struct events_subscriber *at(unsigned place)
{
	return &events_state(&memory)->subscribers[place];
}

static uint64_t sum(const uint64_t by[REEVE_CATEGORIES])
{
	return by[0] + by[1] + by[2] + by[3];
}

/* Takes one event; its number, 0 when there is none. */
static uint64_t take_one(unsigned place)
{
	const void *bytes;
	struct reeve_event *e;
	uint64_t seq;
	size_t size;

	if (!events_peek(&memory, place, &bytes, &size, &seq))
		return 0;
	assert_int_equal(event_unpack(bytes, size, &e), 0);
	assert_int_equal(e->path[0], 'p');
	reeve_event_free(e);
	events_next(&memory, place);
	return seq;
}

static void a_full_sink_gives_up_the_oldest(void **state)
{
	unsigned place = subscribe(3, REEVE_FILE, REEVE_NETWORK);

	(void)state;
	for (uint64_t i = 1; i <= 10; i++)
		put(i % 2 ? REEVE_FILE : REEVE_NETWORK, 10, i);
	assert_int_equal(events_waiting(at(place)), 3);
	assert_int_equal(sum(at(place)->delivered), 10);
	assert_int_equal(sum(at(place)->missed), 7);
	assert_int_equal(at(place)->missed[REEVE_FILE], 4);
	for (uint64_t seq = 8; seq <= 10; seq++)
		assert_int_equal(take_one(place), seq);
	assert_int_equal(take_one(place), 0);
	assert_int_equal(events_state(&memory)->after[0], 10);
}

/* Each of the two kinds has its own room, and they come out in the order in which they went in. */
static void a_flood_of_files_pushes_no_process_out(void **state)
{
	unsigned place = subscribe(4, REEVE_FILE, REEVE_PROCESS);

	(void)state;
	put(REEVE_PROCESS, 10, 1);
	for (uint64_t i = 2; i <= 20001; i++) /* more than there is memory for */
		put(REEVE_FILE, 100, i);
	put(REEVE_PROCESS, 10, 20002);
	put(REEVE_FILE, 10, 20003);
	assert_int_equal(events_waiting(at(place)), 6);
	assert_int_equal(at(place)->missed[REEVE_PROCESS], 0);
	assert_int_equal(at(place)->missed[REEVE_FILE], 19997);
	assert_int_equal(take_one(place), 1);
	for (uint64_t seq = 19999; seq <= 20003; seq++)
		assert_int_equal(take_one(place), seq);
	assert_int_equal(take_one(place), 0);
	events_seek(&memory, place, 0); /* and so does a reader that comes again */
	assert_int_equal(take_one(place), 1);
	assert_int_equal(take_one(place), 19999);
}

static void others_categories_do_not_count(void **state)
{
	unsigned place = subscribe(2, REEVE_NETWORK, REEVE_NETWORK);

	(void)state;
	put(REEVE_NETWORK, 5, 1);
	for (uint64_t i = 2; i < 50; i++)
		put(REEVE_FILE, 5, i);
	put(REEVE_NETWORK, 5, 50);
	assert_int_equal(take_one(place), 1);
	assert_int_equal(take_one(place), 2);
	assert_int_equal(sum(at(place)->missed), 0);
}

static void what_a_backend_lost_shows_as_a_gap(void **state)
{
	unsigned place = subscribe(8, REEVE_FILE, REEVE_PROCESS);

	(void)state;
	put(REEVE_FILE, 5, 1);
	events_missed(&memory, REEVE_FILE, 5);
	events_missed(&memory, REEVE_NETWORK, 3); /* nobody asked for that */
	put(REEVE_PROCESS, 5, 2);
	assert_int_equal(take_one(place), 1);
	assert_int_equal(take_one(place), 7);
	assert_int_equal(sum(at(place)->missed), 5);
}

static void a_reader_that_comes_again_goes_on_behind_what_it_has(void **state)
{
	unsigned place = subscribe(4, REEVE_FILE, REEVE_FILE);

	(void)state;
	put(REEVE_FILE, 5, 1);
	place = subscribe(4, REEVE_FILE, REEVE_FILE); /* the event before is not its own */
	for (uint64_t i = 2; i < 12; i++) {
		put(REEVE_FILE, 5, i);
		assert_int_equal(take_one(place), i - 1);
	}
	events_seek(&memory, place, 8);
	assert_int_equal(take_one(place), 9);
	events_seek(&memory, place, 0); /* no further back than the capacity */
	assert_int_equal(take_one(place), 7);
	events_seek(&memory, place, 10);
	assert_int_equal(take_one(place), 0);
	assert_int_equal(sum(at(place)->missed), 0);
}

static void the_ring_goes_round_and_every_event_is_counted(void **state)
{
	unsigned slow = subscribe(65536, REEVE_FILE, REEVE_PROCESS);
	unsigned quick = subscribe(65536, REEVE_FILE, REEVE_FILE);
	uint64_t last_slow = 0, last_quick = 0, taken = 0, taken_quick = 0, lost = 0;

	(void)state;
	for (uint64_t i = 1; i <= 5000; i++) {
		put(random() % 2 ? REEVE_FILE : REEVE_PROCESS, 1 + (size_t)random() % 4000, i);
		if (random() % 100 == 0) {
			events_missed(&memory, REEVE_FILE, 2);
			lost += 2;
		}
		if (random() % 3 == 0) {
			uint64_t seq = take_one(slow);

			assert_true(seq == 0 || seq > last_slow);
			last_slow = seq ? seq : last_slow;
			taken += seq != 0;
		}
		for (uint64_t seq; (seq = take_one(quick)) != 0; taken_quick++) {
			assert_true(seq > last_quick);
			last_quick = seq;
		}
	}
	assert_int_equal(sum(at(slow)->delivered), 5000);
	assert_true(sum(at(slow)->missed) > lost);
	assert_int_equal(taken + events_waiting(at(slow)) + sum(at(slow)->missed) - lost, 5000);
	assert_int_equal(taken_quick, sum(at(quick)->delivered));
	assert_int_equal(sum(at(quick)->missed), lost);
	while (take_one(slow) != 0)
		taken++;
	assert_int_equal(taken + sum(at(slow)->missed), 5000 + lost);
}

/* As an engine finds it that comes when all but the last store of an event was done. */
static void an_event_is_there_or_it_is_not(void **state)
{
	unsigned place = subscribe(64, REEVE_FILE, REEVE_FILE);

	(void)state;
	for (uint64_t i = 1; i <= 3000; i++) {
		struct word *commit = &memory.header->commit;
		uint64_t delivered = sum(at(place)->delivered), done;
		struct events_memory successor;

		put(REEVE_FILE, 1 + (size_t)random() % 4000, i);
		done = word_load(commit);
		word_store(commit, done - 1);
		assert_int_equal(events_map(&successor, memory_fd), 0);
		assert_int_equal(events_state(&successor)->after[0], i - 1);
		assert_int_equal(sum(events_state(&successor)->subscribers[place].delivered),
				 delivered);
		events_unmap(&successor);
		word_store(commit, done);
		assert_int_equal(events_map(&successor, memory_fd), 0);
		assert_int_equal(events_state(&successor)->after[0], i);
		events_unmap(&successor);
	}
}

static void memory_that_cannot_be_trusted_is_refused(void **state)
{
	struct events_memory other;
	struct events_state *s;

	(void)state;
	subscribe(8, REEVE_FILE, REEVE_FILE);
	put(REEVE_FILE, 100, 1);
	assert_int_equal(events_map(&other, memory_fd), 0);
	events_unmap(&other);
	s = events_change(&memory);
	s->head[1] += 8;
	events_commit(&memory);
	assert_int_equal(events_map(&other, memory_fd), -EBADMSG);
	s = events_change(&memory);
	s->head[1] = s->tail[1] - 8;
	events_commit(&memory);
	assert_int_equal(events_map(&other, memory_fd), -EBADMSG);
	memory.header->magic = 0;
	assert_int_equal(events_map(&other, memory_fd), -EBADMSG);
}

static void a_place_is_used_again_but_no_number(void **state)
{
	unsigned first = subscribe(8, REEVE_FILE, REEVE_FILE);
	uint64_t number = at(first)->number;

	(void)state;
	events_unsubscribe(&memory, first);
	assert_int_equal(events_wanted(&memory), 0);
	assert_int_equal(events_find(&memory, number), -ENOENT);
	assert_int_equal(subscribe(8, REEVE_FILE, REEVE_PROCESS), first);
	assert_int_not_equal(at(first)->number, number);
	assert_int_equal(events_wanted(&memory),
			 category_bit(REEVE_FILE) | category_bit(REEVE_PROCESS));
}

/* As one leaves it that died before its change was true. */
static void what_was_never_committed_is_no_subscription(void **state)
{
	struct events_state *s = events_change(&memory);
	unsigned first, second;

	(void)state;
	s->places = 2;
	for (unsigned i = 0; i < 2; i++)
		s->subscribers[i] = (struct events_subscriber){
			.number = 7 + i, .capacity = 8, .n = 1, .categories = { REEVE_NETWORK }
		};
	for (uint64_t i = 1; i <= 2; i++) { /* in both copies */
		put(REEVE_NETWORK, 10, i);
		assert_int_equal(events_wanted(&memory), 0);
		assert_int_equal(events_find(&memory, 7), -ENOENT);
	}
	first = subscribe(8, REEVE_FILE, REEVE_FILE);
	second = subscribe(8, REEVE_FILE, REEVE_PROCESS);
	for (uint64_t i = 1; i <= 2; i++) {
		put(REEVE_FILE, 10, 2 + i);
		assert_int_equal(events_waiting(at(first)), i);
		assert_int_equal(events_waiting(at(second)), i);
		assert_int_equal(events_find(&memory, 8), -ENOENT);
	}
}

static void a_subscription_that_was_ended_stays_so(void **state)
{
	unsigned first = subscribe(8, REEVE_FILE, REEVE_FILE);
	unsigned second = subscribe(8, REEVE_FILE, REEVE_PROCESS);
	uint64_t number = at(second)->number;

	(void)state;
	events_unsubscribe(&memory, second);
	for (uint64_t i = 1; i <= 3; i++) {
		put(REEVE_FILE, 10, i);
		assert_int_equal(events_find(&memory, number), -ENOENT);
		assert_int_equal(events_wanted(&memory), category_bit(REEVE_FILE));
		assert_int_equal(events_waiting(at(first)), i);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_full_sink_gives_up_the_oldest),
		TEST(a_flood_of_files_pushes_no_process_out),
		TEST(others_categories_do_not_count),
		TEST(what_a_backend_lost_shows_as_a_gap),
		TEST(a_reader_that_comes_again_goes_on_behind_what_it_has),
		TEST(the_ring_goes_round_and_every_event_is_counted),
		TEST(an_event_is_there_or_it_is_not),
		TEST(memory_that_cannot_be_trusted_is_refused),
		TEST(a_place_is_used_again_but_no_number),
		TEST(what_was_never_committed_is_no_subscription),
		TEST(a_subscription_that_was_ended_stays_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
