/* SPDX-License-Identifier: Apache-2.0 */
/* The backends that see what comes of calls: what becomes of files. */
#include "ebpf_observed.h"
#include <sched.h>
#include <sys/stat.h>

static void write_and_read(void *userdata _unused_)
{
	char buffer[1000] = { 0 };
	int fd = open(path_in("data"), O_CREAT | O_RDWR | O_EXCL | O_CLOEXEC, 0640);

	must(fd >= 0);
	must(write(fd, buffer, 1000) == 1000);
	must(write(fd, buffer, 234) == 234);
	must(lseek(fd, 0, SEEK_SET) == 0);
	must(read(fd, buffer, 500) == 500);
	must(close(fd) == 0);
	fd = open(path_in("data"), O_RDONLY | O_CLOEXEC);
	must(pread(fd, buffer, 7, 0) == 7);
	must(close(fd) == 0);
}

static void a_file_is_created_written_read_and_closed(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, write_and_read, NULL);
	e = event_at(&o, REEVE_CREATED, path_in("data"));
	assert_int_equal(e->pid, o.pid);
	assert_int_equal(e->tid, o.pid);
	assert_int_equal(e->ppid, getpid());
	assert_string_equal(e->source, BACKEND.name);
	assert_int_equal(e->flags & (O_ACCMODE | O_CREAT | O_EXCL), O_RDWR | O_CREAT | O_EXCL);
	assert_int_equal(e->mode, 0640);
	assert_false(e->fields & (REEVE_HAS_RESULT | REEVE_HAS_CLAIMED));
	e = event_at(&o, REEVE_CLOSED, path_in("data"));
	assert_true(e->fields & REEVE_HAS_TOTALS);
	assert_int_equal(e->bytes_written, 1234);
	assert_int_equal(e->writes, 2);
	assert_int_equal(e->bytes_read, 500);
	assert_int_equal(e->reads, 1);
	event_at(&o, REEVE_OPENED, path_in("data"));
	assert_int_equal(observed_count(&o, REEVE_CLOSED, o.pid), 2);
	assert_int_equal(observed_nth(&o, REEVE_CLOSED, o.pid, 1)->bytes_read, 7);
	observed_done(&o);
}

static void change_all(void *userdata _unused_)
{
	int fd, dir;

	must(mkdir(path_in("d"), 0700) == 0);
	must(chdir(directory) == 0);
	dir = open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dir, "a", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	must(fd >= 0);
	must(ftruncate(fd, 77) == 0);
	must(fchmod(fd, 0644) == 0);
	must(close(fd) == 0);
	must(renameat(dir, "a", AT_FDCWD, "b") == 0);
	must(link("b", "c") == 0);
	must(symlink("b", "s") == 0);
	must(truncate("b", 5) == 0);
	must(chmod("c", 0600) == 0);
	must(chown("c", (uid_t)-1, getgid()) == 0);
	must(unlink("c") == 0);
	must(unlinkat(AT_FDCWD, "s", 0) == 0);
	must(rmdir("d") == 0);
	must(mkdirat(AT_FDCWD, "e", 0755) == 0);
	must(unlinkat(AT_FDCWD, "e", AT_REMOVEDIR) == 0);
}

static void each_change_to_the_tree_is_seen_with_absolute_paths(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, change_all, NULL);
	e = event_at(&o, REEVE_MKDIR, path_in("d"));
	assert_int_equal(e->mode, 0700);
	event_at(&o, REEVE_CREATED, path_in("d/a"));
	e = event_at(&o, REEVE_TRUNCATED, path_in("d/a"));
	assert_int_equal(e->size, 77);
	assert_false(e->fields & REEVE_HAS_CLAIMED);
	assert_int_equal(event_at(&o, REEVE_CHMOD, path_in("d/a"))->mode, 0644);
	e = event_at(&o, REEVE_RENAMED, path_in("d/a"));
	assert_string_equal(e->path2, path_in("b"));
	assert_int_equal((e->fields & REEVE_HAS_CLAIMED) == 0, at_functions());
	assert_string_equal(event_at(&o, REEVE_LINKED, path_in("b"))->path2, path_in("c"));
	assert_string_equal(event_at(&o, REEVE_SYMLINKED, "b")->path2, path_in("s"));
	assert_int_equal(event_at(&o, REEVE_TRUNCATED, path_in("b"))->size, 5);
	assert_int_equal(event_at(&o, REEVE_CHMOD, path_in("c"))->mode, 0600);
	e = event_at(&o, REEVE_CHOWN, path_in("c"));
	assert_int_equal(e->uid, UINT32_MAX);
	assert_int_equal(e->gid, getgid());
	event_at(&o, REEVE_UNLINKED, path_in("c"));
	event_at(&o, REEVE_UNLINKED, path_in("s"));
	event_at(&o, REEVE_RMDIR, path_in("d"));
	event_at(&o, REEVE_RMDIR, path_in("e"));
	observed_done(&o);
}

static void fail_all(void *userdata _unused_)
{
	must(chdir(directory) == 0);
	must(open("none", O_RDONLY | O_CLOEXEC) < 0);
	must(unlink("none") < 0);
	must(mkdir("/tmp", 0700) < 0);
}

static void what_fails_has_its_result_and_the_path_that_was_asked_for(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, fail_all, NULL);
	e = event_at(&o, REEVE_OPENED, path_in("none"));
	assert_int_equal(e->result, -ENOENT);
	assert_true(e->fields & REEVE_HAS_RESULT);
	assert_true(e->fields & REEVE_HAS_CLAIMED);
	assert_int_equal(event_at(&o, REEVE_UNLINKED, path_in("none"))->result, -ENOENT);
	assert_int_equal(event_at(&o, REEVE_MKDIR, "/tmp")->result, -EEXIST);
	observed_done(&o);
}

static void go_through_a_link(void *userdata _unused_)
{
	must(mkdir(path_in("real"), 0700) == 0);
	must(symlink("real", path_in("way")) == 0);
	must(close(open(path_in("way/../way/f"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
}

static void the_path_is_the_one_that_the_kernel_went(void **state _unused_)
{
	struct observed o;

	observe(&o, FILES, go_through_a_link, NULL);
	event_at(&o, REEVE_CREATED, path_in("real/f"));
	event_at(&o, REEVE_CLOSED, path_in("real/f"));
	observed_done(&o);
}

static void share_a_file(void *userdata _unused_)
{
	int fd = open(path_in("shared"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), copy = dup(fd);
	pid_t pid;

	must(write(fd, "12345", 5) == 5);
	must(close(fd) == 0);
	must(write(copy, "678", 3) == 3);
	pid = fork();
	if (pid == 0) {
		must(write(copy, "9", 1) == 1);
		_exit(0);
	}
	must(waitpid(pid, NULL, 0) == pid);
	must(close(copy) == 0);
}

static void a_file_is_closed_once_however_many_have_it(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, share_a_file, NULL);
	e = event_at(&o, REEVE_CLOSED, path_in("shared"));
	assert_int_equal(e->bytes_written, 9);
	assert_int_equal(e->writes, 3);
	assert_int_equal(observed_count(&o, REEVE_CLOSED, 0), 1);
	observed_done(&o);
}

#define SECOND 7   /* a digit: the shell names it */
#define THIRD  500 /* above all that the test has open itself */

/* 10, 5, 7 and 4 bytes through descriptors that are made of each other. */
static void write_as_others(void *userdata _unused_)
{
	int fd = open(path_in("data"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), copy = dup(fd);
	int gone = open(path_in("gone"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	char buffer[10] = { 0 };
	int status;
	pid_t pid;

	must(write(fd, buffer, 10) == 10 && close(fd) == 0);
	must(dup2(copy, SECOND) == SECOND && close_range((unsigned)copy, (unsigned)copy, 0) == 0);
	must(write(SECOND, buffer, 5) == 5);
	must(fcntl(gone, F_DUPFD_CLOEXEC, THIRD) == THIRD && write(THIRD, buffer, 3) == 3);
	pid = fork();
	if (pid == 0) {
		must(unshare(CLONE_FILES) == 0);
		must(write(SECOND, buffer, 7) == 7);
		execl("/bin/sh", "sh", "-c", "echo 123 >&7", NULL);
		_exit(1);
	}
	must(close_range(THIRD, THIRD + 10, 0) == 0 && close(gone) == 0);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	must(close(SECOND) == 0);
}

static void bytes_belong_to_the_file_whoever_moves_them(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, write_as_others, NULL);
	e = event_at(&o, REEVE_CLOSED, path_in("data"));
	assert_int_equal(e->bytes_written, 26);
	assert_int_equal(e->writes, 4);
	e = event_at(&o, REEVE_CLOSED, path_in("gone"));
	assert_int_equal(e->bytes_written, 3);
	observed_done(&o);
}

static void leave_it_open(void *userdata _unused_)
{
	int fd = open(path_in("left"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	must(write(fd, "123", 3) == 3);
}

static void a_file_that_is_left_open_is_closed_by_the_end(void **state _unused_)
{
	struct observed o;

	observe(&o, FILES, leave_it_open, NULL);
	assert_int_equal(event_at(&o, REEVE_CLOSED, path_in("left"))->bytes_written, 3);
	observed_done(&o);
}

static void write_and_stay(void *userdata)
{
	int fd = open(path_in("slow"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	char byte;

	must(write(fd, "123", 3) == 3);
	must(read(*(int *)userdata, &byte, 1) == 1);
	must(close(fd) == 0);
}

static void what_moves_through_an_open_file_is_told_meanwhile(void **state _unused_)
{
	struct observed o;
	int until[2];

	need_backend();
	assert_int_equal(pipe2(until, O_CLOEXEC), 0);
	observed_start(&o, &BACKEND, FILES, write_and_stay, &until[0]);
	observed_go(&o);
	for (int i = 0; i < PATIENCE_MS && !observed_path(&o, REEVE_MOVED, path_in("slow")); i++)
		observed_look(&o);
	assert_int_equal(event_at(&o, REEVE_MOVED, path_in("slow"))->bytes_written, 3);
	assert_null(observed_path(&o, REEVE_CLOSED, path_in("slow")));
	assert_int_equal(write(until[1], "", 1), 1);
	observed_finish(&o);
	event_at(&o, REEVE_CLOSED, path_in("slow"));
	observed_done(&o);
	close(until[0]);
	close(until[1]);
}

static void run_true(void *userdata _unused_)
{
	execl("/bin/sh", "sh", "-c", ":", NULL);
	_exit(1);
}

static void code_is_seen_to_be_mapped(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;
	bool found = false;

	observe(&o, FILES, run_true, NULL);
	for (unsigned n = 0; (e = observed_nth(&o, REEVE_MAPPED, o.pid, n)); n++)
		found |= strstr(e->path, "/libc") != NULL && e->path[0] == '/';
	assert_true(found);
	observed_done(&o);
}

#if defined(__x86_64__)
/* open, close by the table of i386. The path must lie below 4 GiB. */
static void call_as_i386(void *userdata _unused_)
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long fd, result;

	must(low != MAP_FAILED);
	strcpy(low, path_in("i386"));
	__asm__ volatile("int $0x80"
			 : "=a"(fd)
			 : "a"(5L), "b"(low), "c"((long)(O_CREAT | O_WRONLY)), "d"(0600L)
			 : "memory", "r8", "r9", "r10", "r11");
	if (fd < 0)
		_exit(fd == -ENOSYS ? 77 : 1);
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(4L), "b"(fd), "c"(low), "d"(4L)
			 : "memory", "r8", "r9", "r10", "r11");
	must(result == 4);
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(6L), "b"(fd)
			 : "memory", "r8", "r9", "r10", "r11");
	must(result == 0);
}

static void calls_of_i386_are_seen(void **state _unused_)
{
	struct observed o;

	need_backend();
	observed_start(&o, &BACKEND, FILES, call_as_i386, NULL);
	observed_finish(&o);
	assert_true(WIFEXITED(o.status));
	if (WEXITSTATUS(o.status) != 77) {
		assert_int_equal(o.status, 0);
		event_at(&o, REEVE_CREATED, path_in("i386"));
		assert_int_equal(event_at(&o, REEVE_CLOSED, path_in("i386"))->bytes_written, 4);
	}
	observed_done(&o);
}
#endif

static void each_call_is_told_when_that_is_asked_for(void **state _unused_)
{
	struct observed o;

	need_backend();
	observed_init(&o);
	observed_fork(&o, write_and_read, NULL);
	observed_start_with(&o, &BACKEND,
			    &(struct backend_target){ .session = 5,
						      .leader = o.pid,
						      .gated = true,
						      .categories = FILES,
						      .detail = DETAIL_EACH });
	observed_finish(&o);
	assert_int_equal(observed_count(&o, REEVE_WRITTEN, o.pid), 2);
	assert_int_equal(observed_nth(&o, REEVE_WRITTEN, o.pid, 1)->bytes_written, 234);
	assert_string_equal(observed_nth(&o, REEVE_WRITTEN, o.pid, 1)->path, path_in("data"));
	assert_int_equal(observed_count(&o, REEVE_READ, o.pid), 2);
	assert_int_equal(observed_find(&o, REEVE_CLOSED, o.pid)->bytes_written, 1234);
	observed_done(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_file_is_created_written_read_and_closed),
		TEST(each_change_to_the_tree_is_seen_with_absolute_paths),
		TEST(what_fails_has_its_result_and_the_path_that_was_asked_for),
		TEST(the_path_is_the_one_that_the_kernel_went),
		TEST(a_file_is_closed_once_however_many_have_it),
		TEST(bytes_belong_to_the_file_whoever_moves_them),
		TEST(a_file_that_is_left_open_is_closed_by_the_end),
		TEST(what_moves_through_an_open_file_is_told_meanwhile),
		TEST(code_is_seen_to_be_mapped),
#if defined(__x86_64__)
		TEST(calls_of_i386_are_seen),
#endif
		TEST(each_call_is_told_when_that_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
