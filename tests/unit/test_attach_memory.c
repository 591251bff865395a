/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "client/attach_memory.h"
#include "core/capture.h"
#include "core/layout.h"
#include "fds.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING  RING_SIZE_MIN
#define AT    LAYOUT_PAGE /* of the ring */
#define FILE_ (AT + RING)
#define GONE  64U /* of the word */

static struct attach_memory m;
static struct capture_stream writer; /* the daemon's side of the same file */
static struct word head;
static uint8_t *map;
static int file;
static struct control_stream words;
static int pair[2];

static const struct frame good = {
	.type = FRAME_MEMORY, .stream = FRAME_STDOUT, .offset = AT, .ring = RING, .gone = GONE
};

static int setup(void **state _unused_)
{
	m = (struct attach_memory){ .fd = -1 };
	file = fd_memfd("test", FILE_);
	assert_true(file >= 0);
	assert_int_equal(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	map = mmap(NULL, FILE_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	assert_true(map != MAP_FAILED);
	writer.ring = (struct ring){ .data = map + AT, .size = RING, .head = &head };
	writer.lent = (struct word *)(map + GONE);
	word_store(&head, 0);
	writer.words = &words;
	word_store(&words.lent, 1);
	word_store(writer.lent, 1);
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state _unused_)
{
	attach_memory_done(&m);
	munmap(map, FILE_);
	close(file);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* One byte comes over the socket, and `fd` with it. */
static void bring(int fd)
{
	char byte;

	assert_int_equal(fd_send(pair[0], "x", 1, &fd, fd >= 0), 0);
	assert_int_equal(attach_memory_receive(&m, pair[1], &byte, 1), 1);
}

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + offset / 251);
}

/* As the daemon writes: notice first. */
static void write_up_to(uint64_t end)
{
	capture_give_notice(&writer, end > RING ? end - RING : 0);
	for (uint64_t at = word_load(&head); at < end; at++)
		writer.ring.data[at % RING] = byte_at(at);
	word_store(&head, end);
}

/* Reads [from, to) and checks each byte. Returns how many at its beginning were gone. */
static uint64_t read_all(uint64_t from, uint64_t to)
{
	uint64_t gone = 0;

	while (from < to) {
		struct attach_copy c = { .at = from, .n = to - from };

		attach_memory_copy(&m, FRAME_STDOUT, &c);
		assert_true(c.gone + c.n > 0 && c.gone + c.n <= to - from);
		gone += c.gone;
		from += c.gone;
		for (uint64_t i = 0; i < c.n; i++)
			assert_int_equal(c.bytes[i], byte_at(from + i));
		from += c.n;
	}
	return gone;
}

static void bytes_are_read_however_often_the_ring_turns(void **state _unused_)
{
	uint64_t at = 0;

	bring(file);
	assert_int_equal(attach_memory_map(&m, &good), 0);
	assert_int_equal(attach_memory_size(&m, FRAME_STDOUT), RING);
	assert_int_equal(attach_memory_size(&m, FRAME_STDERR), 0);
	for (uint64_t n = 1; at < 100 * RING; n = n * 7 % RING + 1) {
		write_up_to(at + n);
		assert_int_equal(read_all(at, at + n), 0);
		at += n;
	}
}

static void what_may_be_overwritten_is_counted_and_not_given(void **state _unused_)
{
	bring(file);
	assert_int_equal(attach_memory_map(&m, &good), 0);
	write_up_to(RING);
	write_up_to(RING + 100);
	assert_int_equal(read_all(0, RING), 100);
	assert_int_equal(read_all(99, RING + 100), 1);
	assert_int_equal(read_all(100, RING + 100), 0);
	capture_give_notice(&writer, 9 * RING); /* nothing is written yet */
	assert_int_equal(read_all(200, RING + 100), RING - 100);
}

static void memory_that_cannot_be_trusted_is_refused(void **state _unused_)
{
	static const struct {
		const char *what;
		uint64_t offset, ring, gone;
	} bad[] = {
		{ "beyond the file", AT + LAYOUT_PAGE, RING, GONE },
		{ "beyond the file", UINT64_MAX - 7, RING, GONE },
		{ "a word beyond the file", AT, RING, FILE_ },
		{ "a word that wraps", AT, RING, UINT64_MAX - 7 },
		{ "half a word", AT, RING, GONE + 4 },
		{ "too small", AT, RING / 2, GONE },
		{ "no power of two", 0, RING + 8, GONE },
		{ "no ring", AT, 0, GONE },
		{ "too large", 0, RING_SIZE_MAX * 2, GONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct frame f = good;

		f.offset = bad[i].offset;
		f.ring = bad[i].ring;
		f.gone = bad[i].gone;
		bring(file);
		assert_int_equal(attach_memory_map(&m, &f), -EINVAL);
		assert_int_equal(attach_memory_size(&m, FRAME_STDOUT), 0);
		attach_memory_done(&m);
	}
}

static void a_file_that_could_become_smaller_is_refused(void **state _unused_)
{
	int other = fd_memfd("other", FILE_);

	assert_true(other >= 0);
	bring(other);
	assert_int_equal(attach_memory_map(&m, &good), -EBADF);
	bring(pair[0]); /* of which the kernel tells no seals */
	assert_int_equal(attach_memory_map(&m, &good), -EBADF);
	close(other);
}

static void a_frame_without_a_file_is_refused(void **state _unused_)
{
	bring(-1);
	assert_int_equal(attach_memory_map(&m, &good), -EBADF);
}

static void nothing_is_left_open(void **state _unused_)
{
	unsigned before = count_fds();

	for (int i = 0; i < 3; i++) {
		bring(file);
		bring(file); /* the last counts */
		assert_int_equal(attach_memory_map(&m, &good), 0);
		assert_int_equal(count_fds(), before + 1);
		attach_memory_done(&m);
		attach_memory_done(&m);
		assert_int_equal(count_fds(), before);
	}
}

static void of_several_files_one_is_taken(void **state _unused_)
{
	int files[] = { file, file, file };
	unsigned before = count_fds();
	char byte;

	assert_int_equal(fd_send(pair[0], "x", 1, files, ARRAY_SIZE(files)), 0);
	assert_int_equal(attach_memory_receive(&m, pair[1], &byte, 1), 1);
	assert_int_equal(count_fds(), before + 1);
	assert_int_equal(attach_memory_map(&m, &good), 0);
	attach_memory_done(&m);
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_are_read_however_often_the_ring_turns, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_may_be_overwritten_is_counted_and_not_given,
						setup, teardown),
		cmocka_unit_test_setup_teardown(memory_that_cannot_be_trusted_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_file_that_could_become_smaller_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_frame_without_a_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_left_open, setup, teardown),
		cmocka_unit_test_setup_teardown(of_several_files_one_is_taken, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
