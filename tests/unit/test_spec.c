/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "core/spec.h"
#include "fds.h"
#include "processes.h"
#include <stdlib.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static char *const argv[] = { "make", "", "-j 2", NULL };
static char *const envp[] = { "PATH=/bin", "EMPTY=", NULL };
static struct spec spec;
static unsigned open_before;

static int setup(void **state _unused_)
{
	spec_init(&spec);
	spec.argv = argv;
	spec.envp = envp;
	spec.cwd = "/tmp";
	open_before = count_fds();
	return 0;
}

static unsigned count_mapped(void)
{
	_cleanup_(freep) char *maps = NULL;
	unsigned n = 0;

	assert_int_equal(fd_read_file("/proc/self/maps", 16 * MiB, &maps, NULL), 0);
	for (const char *p = maps; (p = strstr(p, "memfd:")); p++)
		n++;
	return n;
}

static int teardown(void **state _unused_)
{
	assert_int_equal(count_mapped(), 0);
	assert_int_equal(count_fds(), open_before);
	return 0;
}

static int pack(void)
{
	struct error e = { 0 };
	int fd = -1;

	assert_int_equal(spec_pack(&spec, &fd, &e), 0);
	assert_true(fd >= 0);
	return fd;
}

static void assert_strings(char *const *got, char *const *expected)
{
	size_t i;

	for (i = 0; expected[i]; i++)
		assert_string_equal(got[i], expected[i]);
	assert_null(got[i]);
}

static void what_was_packed_is_opened(void **state _unused_)
{
	_cleanup_(closep) int fd = -1;
	struct spec_view v;

	spec.header.umask = 027;
	spec.header.nice = -5;
	spec.header.flags = SPEC_GATE;
	spec.header.mark = 1ULL << 61;
	spec.header.limits_set = 1U << 7;
	spec.header.limits[7] = (struct spec_limit){ 100, UINT64_MAX };
	fd = pack();
	assert_int_equal(spec_open(&v, fd), 0);
	assert_strings(v.argv, argv);
	assert_strings(v.envp, envp);
	assert_string_equal(v.cwd, "/tmp");
	assert_int_equal(v.header->argc, 3);
	assert_int_equal(v.header->envc, 2);
	assert_int_equal(v.header->umask, 027);
	assert_int_equal(v.header->nice, -5);
	assert_int_equal(v.header->flags, SPEC_GATE);
	assert_int_equal(v.header->mark, 1ULL << 61);
	assert_int_equal(v.header->limits_set, 1U << 7);
	assert_int_equal(v.header->limits[7].soft, 100);
	assert_int_equal(v.header->limits[7].hard, UINT64_MAX);
	spec_close(&v);
	assert_null(v.map);
}

static void there_is_a_spare_place_before_argv(void **state _unused_)
{
	_cleanup_(closep) int fd = pack();
	struct spec_view v;

	assert_int_equal(spec_open(&v, fd), 0);
	v.argv[-1] = (char *)"sh";
	v.argv[0] = (char *)"/a/script";
	assert_string_equal(v.argv[1], "");
	spec_close(&v);
}

static void what_is_not_said_is_left_alone(void **state _unused_)
{
	_cleanup_(closep) int fd = pack();
	struct spec_view v;

	assert_int_equal(spec_open(&v, fd), 0);
	assert_int_equal(v.header->umask, SPEC_NO_UMASK);
	assert_int_equal(v.header->nice, SPEC_NO_NICE);
	assert_int_equal(v.header->limits_set, 0);
	assert_int_equal(v.header->mark, 0);
	assert_int_equal(v.header->flags, 0);
	spec_close(&v);
}

static void no_environment_is_an_empty_one(void **state _unused_)
{
	_cleanup_(closep) int fd = -1;
	struct spec_view v;

	spec.envp = NULL;
	fd = pack();
	assert_int_equal(spec_open(&v, fd), 0);
	assert_non_null(v.envp);
	assert_null(v.envp[0]);
	spec_close(&v);
}

static void a_packed_spec_cannot_be_changed(void **state _unused_)
{
	_cleanup_(closep) int fd = pack();

	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & SEALS, SEALS);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 10), -1);
	assert_int_equal(errno, EPERM);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
}

static void sixteen_mebibytes_are_packed_and_one_more_byte_is_not(void **state _unused_)
{
	size_t fixed = sizeof(struct spec_header) + strlen("/tmp") + 1;
	size_t n = SPEC_SIZE_MAX - fixed;
	_cleanup_(freep) char *text = malloc(n + 1);
	char *const one[] = { text, NULL };
	struct error e = { 0 };
	struct spec_view v;
	int fd;

	assert_non_null(text);
	memset(text, 'a', n);
	text[n - 1] = text[n] = 0;
	spec.argv = one;
	spec.envp = NULL;
	fd = pack();
	assert_int_equal(spec_open(&v, fd), 0);
	assert_int_equal(strlen(v.argv[0]), n - 1);
	spec_close(&v);
	closep(&fd);
	fd = -7;
	text[n - 1] = 'a';
	assert_true(spec_pack(&spec, &fd, &e) < 0);
	assert_int_equal(fd, -7);
	assert_int_equal(e.code, ERROR_TOO_LARGE);
	assert_non_null(strstr(e.message, "16777217 bytes"));
}

/* --- forged ones ----------------------------------------------------------------------------- */

/* A sealed memfd of these bytes. */
static int forge(const void *data, size_t n, unsigned seals)
{
	int fd = fd_memfd("forged", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

struct forged {
	struct spec_header header;
	char strings[32];
};

static const struct forged good = {
	.header = { .magic = SPEC_MAGIC, .size = sizeof(struct forged), .argc = 2, .envc = 1 },
	.strings = "cmd\0arg\0A=b\0/the/rest/is/my/cwd",
};

static int open_result(const struct forged *f, size_t n)
{
	_cleanup_(closep) int fd = forge(f, n, SEALS);
	struct spec_view v = { .cwd = "untouched" };
	int r = spec_open(&v, fd);

	if (r == 0)
		spec_close(&v);
	else
		assert_string_equal(v.cwd, "untouched");
	return r;
}

static void the_pattern_of_the_forged_ones_is_good(void **state _unused_)
{
	assert_int_equal(open_result(&good, sizeof(good)), 0);
}

static void each_seal_is_needed(void **state _unused_)
{
	static const unsigned missing[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };

	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		_cleanup_(closep) int fd = forge(&good, sizeof(good), SEALS & ~missing[i]);
		struct spec_view v;

		assert_int_equal(spec_open(&v, fd), -EBADMSG);
	}
}

static void what_is_no_memfd_is_refused(void **state _unused_)
{
	_cleanup_(closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_(closep) int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct spec_view v;

	assert_int_equal(spec_open(&v, null), -EBADMSG);
	assert_int_equal(spec_open(&v, exe), -EBADMSG);
	assert_int_equal(spec_open(&v, -1), -EBADMSG);
}

static void a_truncated_spec_is_refused_wherever_it_is_cut(void **state _unused_)
{
	for (size_t n = 0; n < sizeof(good); n++) {
		struct forged f = good;

		assert_int_equal(open_result(&f, n), -EBADMSG);
		if (n < sizeof(f.header))
			continue;
		/* Cut by one who corrects the size: the strings must still all be there. */
		f.header.size = n;
		assert_int_equal(open_result(&f, n), -EBADMSG);
	}
}

static void numbers_that_do_not_fit_are_refused(void **state _unused_)
{
	static const uint32_t counts[][2] = {
		{ 0, 0 },  { 0, 3 },          { 30, 0 },
		{ 2, 30 }, { UINT32_MAX, 0 }, { 2, UINT32_MAX },
		{ 32, 1 }, { UINT32_MAX, 3 }, { 1U << 31, 1U << 31 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct forged f = good;

		f.header.argc = counts[i][0];
		f.header.envc = counts[i][1];
		assert_int_equal(open_result(&f, sizeof(f)), -EBADMSG);
	}
}

static void another_magic_or_size_is_refused(void **state _unused_)
{
	struct forged f = good;

	f.header.magic++;
	assert_int_equal(open_result(&f, sizeof(f)), -EBADMSG);
	f = good;
	f.header.size--;
	assert_int_equal(open_result(&f, sizeof(f)), -EBADMSG);
	f.header.size = UINT64_MAX;
	assert_int_equal(open_result(&f, sizeof(f)), -EBADMSG);
}

static void a_string_without_an_end_is_refused(void **state _unused_)
{
	struct forged f = good;

	memset(f.strings + 12, 'x', sizeof(f.strings) - 12);
	assert_int_equal(open_result(&f, sizeof(f)), -EBADMSG);
}

static void a_spec_larger_than_the_limit_is_refused(void **state _unused_)
{
	_cleanup_(closep) int fd = fd_memfd("forged", SPEC_SIZE_MAX + 1);
	struct forged f = good;
	struct spec_view v;

	f.header.size = SPEC_SIZE_MAX + 1;
	assert_int_equal(pwrite(fd, &f, sizeof(f), 0), sizeof(f));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	assert_int_equal(spec_open(&v, fd), -EBADMSG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_packed_is_opened),
		TEST(there_is_a_spare_place_before_argv),
		TEST(what_is_not_said_is_left_alone),
		TEST(no_environment_is_an_empty_one),
		TEST(a_packed_spec_cannot_be_changed),
		TEST(sixteen_mebibytes_are_packed_and_one_more_byte_is_not),
		TEST(the_pattern_of_the_forged_ones_is_good),
		TEST(each_seal_is_needed),
		TEST(what_is_no_memfd_is_refused),
		TEST(a_truncated_spec_is_refused_wherever_it_is_cut),
		TEST(numbers_that_do_not_fit_are_refused),
		TEST(another_magic_or_size_is_refused),
		TEST(a_string_without_an_end_is_refused),
		TEST(a_spec_larger_than_the_limit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
