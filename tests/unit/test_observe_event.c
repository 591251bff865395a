/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "observe/event.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct reeve_event sample(void)
{
	struct reeve_event e;

	event_init(&e, REEVE_PROCESS, REEVE_EXECUTED, 12);
	e.fields = REEVE_HAS_PATH | REEVE_HAS_ARGV | REEVE_HAS_CWD | REEVE_HAS_COMM;
	e.path = "/bin/ls";
	e.argv = "ls\0-l\0";
	e.argv_size = 6;
	e.cwd = "";
	e.comm = "ls";
	e.source = "test";
	e.seq = 7;
	e.remote.family = AF_UNIX;
	e.remote.path = "@abstract";
	return e;
}

static void an_event_is_of_now_and_has_nothing_else(void **state _unused_)
{
	uint64_t before = clock_realtime_ms();
	struct reeve_event e;

	event_init(&e, REEVE_FILE, REEVE_OPENED, 5);
	assert_true(e.timestamp_ms >= before && e.timestamp_ms <= clock_realtime_ms());
	assert_int_equal(e.category, REEVE_FILE);
	assert_int_equal(e.kind, REEVE_OPENED);
	assert_int_equal(e.pid, 5);
	assert_int_equal(e.fields, 0);
	assert_null(e.path);
}

static void what_was_packed_is_unpacked_with_all_its_texts(void **state _unused_)
{
	struct reeve_event e = sample(), *copy;
	char bytes[1024];
	size_t n = event_pack(&e, bytes);

	assert_int_equal(n, event_size(&e));
	assert_int_equal(event_packed_category(bytes), REEVE_PROCESS);
	assert_int_equal(event_unpack(bytes, n, &copy), 0);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(copy->fields, e.fields);
	assert_int_equal(copy->pid, 12);
	assert_int_equal(copy->seq, 7);
	assert_string_equal(copy->path, "/bin/ls");
	assert_string_equal(copy->cwd, "");
	assert_string_equal(copy->comm, "ls");
	assert_string_equal(copy->source, "test");
	assert_string_equal(copy->remote.path, "@abstract");
	assert_int_equal(copy->remote.family, AF_UNIX);
	assert_int_equal(copy->argv_size, 6);
	assert_memory_equal(copy->argv, "ls\0-l\0", 6);
	assert_null(copy->path2);
	assert_null(copy->local.path);
	assert_null(reeve_event_free(copy));
}

static void a_text_that_is_too_long_is_cut_and_the_event_says_so(void **state _unused_)
{
	static char path[2 * EVENT_TEXT_MAX], argv[EVENT_TEXT_MAX + 1];
	struct reeve_event e = sample(), *copy;

	memset(path, 'x', sizeof(path) - 1);
	e.path = path;
	assert_int_equal(event_copy(&e, &copy), 0);
	assert_int_equal(strlen(copy->path), EVENT_TEXT_MAX - 1);
	assert_true(copy->fields & REEVE_HAS_CUT);
	reeve_event_free(copy);
	e = sample();
	e.argv = argv;
	e.argv_size = EVENT_TEXT_MAX - 1;
	assert_int_equal(event_copy(&e, &copy), 0);
	assert_int_equal(copy->argv_size, EVENT_TEXT_MAX - 1);
	assert_false(copy->fields & REEVE_HAS_CUT);
	reeve_event_free(copy);
	e.argv_size = EVENT_TEXT_MAX;
	assert_int_equal(event_copy(&e, &copy), 0);
	assert_int_equal(copy->argv_size, EVENT_TEXT_MAX - 1);
	assert_true(copy->fields & REEVE_HAS_CUT);
	reeve_event_free(copy);
}

static void the_largest_event_fits_into_its_bound(void **state _unused_)
{
	static char text[2 * EVENT_TEXT_MAX], bytes[EVENT_SIZE_MAX];
	struct reeve_event e = sample(), *copy;

	memset(text, 'y', sizeof(text) - 1);
	e.path = e.path2 = e.cwd = e.comm = e.source = e.argv = text;
	e.local.path = e.remote.path = text;
	e.argv_size = sizeof(text);
	assert_true(event_size(&e) <= sizeof(bytes));
	assert_int_equal(event_unpack(bytes, event_pack(&e, bytes), &copy), 0);
	reeve_event_free(copy);
}

static void bytes_that_are_no_event_are_refused(void **state _unused_)
{
	struct reeve_event e = sample(), *copy = NULL;
	char bytes[1024], broken[1024];
	size_t n = event_pack(&e, bytes);

	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(event_unpack(bytes, cut, &copy), -EBADMSG);
	/* Lengths, version and size are the first 40 bytes: none of them can be off. */
	for (size_t at = 0; at < 40; at++) {
		memcpy(broken, bytes, n);
		broken[at] ^= 0x55;
		assert_int_equal(event_unpack(broken, n, &copy), -EBADMSG);
	}
	assert_null(copy);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_of_now_and_has_nothing_else),
		cmocka_unit_test(what_was_packed_is_unpacked_with_all_its_texts),
		cmocka_unit_test(a_text_that_is_too_long_is_cut_and_the_event_says_so),
		cmocka_unit_test(the_largest_event_fits_into_its_bound),
		cmocka_unit_test(bytes_that_are_no_event_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
