/* SPDX-License-Identifier: Apache-2.0 */
/* page.c over a session that consists of two small rings and an index. */
#include "api/page.h"
#include "moves.h"

#define RING    1024
#define RECORDS 256

static struct session session;
static struct control_slot words;
static uint8_t rings[STREAMS_MAX][RING];
static struct index_raw records[RECORDS];
static const bool both[STREAMS_MAX] = { true, true };
static struct page page;

static int setup(void **state _unused_)
{
	memset(&session, 0, sizeof(session));
	memset((void *)&words, 0, sizeof(words));
	session.words = &words;
	index_init(&session.index, records, sizeof(records), &words.index_head);
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		session.streams[i].capture.ring = (struct ring){ .data = rings[i],
								 .size = RING,
								 .head = &words.streams[i].head };
	return 0;
}

/* One capture step. */
static void step(unsigned stream, const char *bytes, size_t n, uint64_t when)
{
	struct word *head = &words.streams[stream].head;
	uint64_t at = word_load(head);

	for (size_t i = 0; i < n; i++)
		rings[stream][(at + i) % RING] = (uint8_t)bytes[i];
	word_store(head, at + n);
	index_commit(&session.index, stream, at + n, when);
}

static void step_text(unsigned stream, const char *text, uint64_t when)
{
	step(stream, text, strlen(text), when);
}

/* Reads all there is, in views of up to `max` bytes, as text. */
static const char *rest(size_t max)
{
	static char text[2 * STREAMS_MAX * RING + 1];
	struct iovec view[2];
	size_t n, used = 0;
	int pieces;

	while ((n = page_peek(&page, max, view, &pieces)) > 0) {
		size_t seen = 0;

		assert_true(n <= max);
		for (int i = 0; i < pieces; i++) {
			memcpy(text + used + seen, view[i].iov_base, view[i].iov_len);
			seen += view[i].iov_len;
		}
		assert_int_equal(seen, n);
		used += n;
		page_advance(&page, n);
	}
	text[used] = 0;
	return text;
}

static void streams_are_read_in_the_order_of_capture(void **state _unused_)
{
	step_text(0, "one ", 10);
	step_text(1, "two ", 20);
	step_text(0, "three ", 30);
	page_init(&page, &session, both);
	assert_string_equal(rest(SIZE_MAX), "one two three ");
	assert_int_equal(page.dropped, 0);
}

static void a_stream_that_is_not_wanted_is_left_out(void **state _unused_)
{
	step_text(0, "one ", 10);
	step_text(1, "two ", 20);
	step_text(0, "three ", 30);
	page_init(&page, &session, (bool[]){ false, true });
	assert_string_equal(rest(SIZE_MAX), "two ");
	page_init(&page, &session, (bool[]){ true, false });
	assert_string_equal(rest(SIZE_MAX), "one three ");
}

static void a_stream_that_does_not_exist_is_not_waited_for(void **state _unused_)
{
	session.streams[1].capture.ring.size = 0;
	step_text(0, "x", 1);
	page_init(&page, &session, both);
	assert_string_equal(rest(SIZE_MAX), "x");
	assert_false(page_over(&page));
	word_store(&words.streams[0].ended, 1);
	assert_true(page_over(&page));
}

static void the_smallest_views_add_up_to_the_same(void **state _unused_)
{
	step_text(0, "abcdef", 10);
	step_text(1, "ghij", 20);
	page_init(&page, &session, both);
	assert_string_equal(rest(1), "abcdefghij");
	page_init(&page, &session, both);
	assert_string_equal(rest(4), "abcdefghij");
}

static void a_page_goes_on_with_what_comes_later(void **state _unused_)
{
	page_init(&page, &session, both);
	assert_string_equal(rest(SIZE_MAX), "");
	step_text(1, "late", 10);
	assert_string_equal(rest(SIZE_MAX), "late");
	step_text(0, "later", 20);
	assert_string_equal(rest(SIZE_MAX), "later");
}

static void each_piece_tells_when_it_was_captured(void **state _unused_)
{
	struct iovec view[2];
	int pieces;

	step_text(0, "a", 1111);
	step_text(0, "b", 2222);
	page_init(&page, &session, both);
	assert_int_equal(page_peek(&page, 99, view, &pieces), 1);
	assert_int_equal(page.when, 1111);
	page_advance(&page, 1);
	assert_int_equal(page_peek(&page, 99, view, &pieces), 1);
	assert_int_equal(page.when, 2222);
}

static void since_passes_over_what_is_older(void **state _unused_)
{
	step_text(0, "old ", 10);
	step_text(1, "OLD ", 20);
	step_text(0, "new ", 30);
	step_text(1, "NEW ", 40);
	page_init(&page, &session, both);
	page.since = 30;
	assert_string_equal(rest(SIZE_MAX), "new NEW ");
	assert_int_equal(page.dropped, 0);
}

static void what_was_overwritten_before_the_page_began_is_not_its_loss(void **state _unused_)
{
	for (int i = 0; i < 30; i++)
		step_text(0, "0123456789012345678901234567890123456789012345678\n", 10 + i);
	page_init(&page, &session, both);
	assert_int_equal(page.at[0], 1500 - RING);
	assert_int_equal(strlen(rest(SIZE_MAX)), RING);
	assert_int_equal(page.dropped, 0);
}

static void what_is_overwritten_under_its_eyes_is_counted(void **state _unused_)
{
	char block[600];

	memset(block, 'x', sizeof(block));
	page_init(&page, &session, both);
	for (int i = 0; i < 4; i++)
		step(0, block, sizeof(block), 10 + i);
	assert_int_equal(strlen(rest(SIZE_MAX)), RING);
	assert_int_equal(page.dropped, 2400 - RING);
}

static void it_is_over_when_all_is_read_and_all_streams_have_ended(void **state _unused_)
{
	step_text(0, "x", 1);
	page_init(&page, &session, both);
	word_store(&words.streams[0].ended, 1);
	assert_false(page_over(&page));
	word_store(&words.streams[1].ended, 1);
	assert_false(page_over(&page));
	rest(SIZE_MAX);
	assert_true(page_over(&page));
}

static void it_is_at_its_end_when_all_streams_have_ended(void **state _unused_)
{
	step_text(0, "x", 1);
	page_init(&page, &session, (bool[]){ true, false });
	assert_false(page_at_end(&page));
	word_store(&words.streams[0].ended, 1);
	assert_true(page_at_end(&page));
	assert_false(page_over(&page));
}

static void it_ends_where_it_was_said_to_end(void **state _unused_)
{
	step_text(0, "one ", 1);
	step_text(1, "two ", 2);
	page_init(&page, &session, both);
	page.last = word_load(session.index.head);
	step_text(0, "three ", 3);
	assert_string_equal(rest(SIZE_MAX), "one two ");
}

/* A quiet stream beside one that speaks in many small pieces: all records are the other's. */
static void bytes_outlive_the_records_of_their_capture(void **state _unused_)
{
	const char *text;

	step_text(0, "quiet ", 10);
	for (int i = 0; i < 2 * RECORDS; i++)
		step_text(1, i % 10 ? "x" : "\n", 20 + i);
	page_init(&page, &session, both);
	text = rest(SIZE_MAX);
	assert_int_equal(strlen(text), strlen("quiet ") + 2 * RECORDS);
	assert_memory_equal(text, "quiet \nxxx", 10);
	word_store(&words.streams[0].ended, 1);
	word_store(&words.streams[1].ended, 1);
	assert_true(page_over(&page));
	/* When they came nobody knows any more. */
	page_init(&page, &session, both);
	page.since = 20;
	assert_null(strchr(rest(SIZE_MAX), 'q'));
	assert_true(page_over(&page));
}

static void records_that_are_overwritten_under_its_eyes_hide_no_byte(void **state _unused_)
{
	page_init(&page, &session, both);
	step_text(0, "first ", 10);
	assert_string_equal(rest(SIZE_MAX), "first ");
	step_text(0, "quiet ", 10);
	for (int i = 0; i < 2 * RECORDS; i++)
		step_text(1, "x", 20 + i);
	assert_int_equal(strlen(rest(SIZE_MAX)), strlen("quiet ") + 2 * RECORDS);
	assert_int_equal(page.dropped, 0);
}

static void lines_can_be_skipped(void **state _unused_)
{
	step_text(0, "a\nb", 1);
	step_text(1, "X\n", 2);
	step_text(0, "c\nd\n", 3);
	page_init(&page, &session, both);
	page_skip_lines(&page, 1);
	assert_string_equal(rest(SIZE_MAX), "bX\nc\nd\n");
	page_init(&page, &session, both);
	page_skip_lines(&page, 3);
	assert_string_equal(rest(SIZE_MAX), "d\n");
	page_init(&page, &session, both);
	page_skip_lines(&page, 99);
	assert_string_equal(rest(SIZE_MAX), "");
}

/* What is viewed now is what was said at those offsets, after what was viewed before. */
static size_t check_view(size_t max, uint64_t next[STREAMS_MAX])
{
	struct iovec view[2];
	int pieces;
	size_t n = page_peek(&page, max, view, &pieces);
	uint64_t at = page.at[page.stream];

	if (n == 0)
		return 0;
	assert_true(at >= next[page.stream]);
	for (int i = 0; i < pieces; i++)
		for (size_t b = 0; b < view[i].iov_len; b++)
			assert_int_equal(((uint8_t *)view[i].iov_base)[b],
					 pattern(page.stream, at++));
	next[page.stream] = at;
	page_advance(&page, n);
	return n;
}

static void read_and_dropped_add_up_whatever_the_pace(void **state _unused_)
{
	uint64_t seed = 9, read = 0, said = 0, next[STREAMS_MAX] = { 0 };
	size_t n;

	page_init(&page, &session, both);
	for (int i = 0; i < 5000; i++) {
		uint8_t bytes[64];
		unsigned stream = random_below(&seed, 2);

		n = 1 + random_below(&seed, sizeof(bytes));
		fill_pattern(stream, word_load(&words.streams[stream].head), bytes, n);
		step(stream, (char *)bytes, n, i);
		said += n;
		if (random_below(&seed, 20) == 0)
			read += check_view(1 + random_below(&seed, 3 * RING), next);
	}
	while ((n = check_view(SIZE_MAX, next)) > 0)
		read += n;
	assert_true(page.dropped > 0);
	assert_int_equal(read + page.dropped, said);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(streams_are_read_in_the_order_of_capture),
		TEST(a_stream_that_is_not_wanted_is_left_out),
		TEST(a_stream_that_does_not_exist_is_not_waited_for),
		TEST(the_smallest_views_add_up_to_the_same),
		TEST(a_page_goes_on_with_what_comes_later),
		TEST(each_piece_tells_when_it_was_captured),
		TEST(since_passes_over_what_is_older),
		TEST(what_was_overwritten_before_the_page_began_is_not_its_loss),
		TEST(what_is_overwritten_under_its_eyes_is_counted),
		TEST(it_is_over_when_all_is_read_and_all_streams_have_ended),
		TEST(it_is_at_its_end_when_all_streams_have_ended),
		TEST(it_ends_where_it_was_said_to_end),
		TEST(bytes_outlive_the_records_of_their_capture),
		TEST(records_that_are_overwritten_under_its_eyes_hide_no_byte),
		TEST(lines_can_be_skipped),
		TEST(read_and_dropped_add_up_whatever_the_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
