/* SPDX-License-Identifier: Apache-2.0 */
/* The two tiers of the backend `ebpf`: which of them it is, and what each tells. */
#include "base/clock.h"
#include "ebpf_observed.h"
#include "observe/ebpf.h"
#include "uring.h"
#include <dirent.h>
#include <sys/stat.h>

#define CANNOT 77

static const char *reason_in(const char *tier, enum reeve_category category,
			     enum reeve_support *ret)
{
	static struct backend_support support[REEVE_CATEGORIES];

	memset(support, 0, sizeof(support));
	if (tier)
		assert_int_equal(setenv("REEVE_EBPF_TIER", tier, 1), 0);
	backend_ebpf.probe(REEVE_LAUNCHED_TREE, -1, support);
	if (tier)
		assert_int_equal(unsetenv("REEVE_EBPF_TIER"), 0);
	*ret = support[category].support;
	return support[category].reason;
}

/* --- which it is -------------------------------------------------------------------------------
 */

static void the_reason_says_which_tier_it_is_and_why_it_is_not_the_other(void **state _unused_)
{
	enum reeve_support support;
	char expected[128];
	const char *reason;
	int refused;

	need_backend();
	refused = ebpf_try_function();
	reason = reason_in(NULL, REEVE_FILE, &support);
	assert_int_equal(support, REEVE_SUPPORTED);
	if (refused == -EPERM || refused == -EACCES)
		snprintf(expected, sizeof(expected), "; tier: tracepoints (fexit: %s)",
			 strerror(-refused));
	else
		snprintf(expected, sizeof(expected), "; tier: ");
	if (!strstr(reason, expected))
		fail_msg("\"%s\" does not say \"%s\"", reason, expected);
	assert_true((strstr(reason, "io_uring by opcode only") != NULL));
}

static void the_first_tier_can_be_had_everywhere(void **state _unused_)
{
	enum reeve_support support;
	const char *reason;

	need_backend();
	reason = reason_in("tracepoints", REEVE_PROCESS, &support);
	assert_int_equal(support, REEVE_SUPPORTED);
	assert_non_null(strstr(reason, "; tier: tracepoints"));
	assert_null(strstr(reason, "fexit"));
}

static void the_second_tier_is_not_taken_for_granted(void **state _unused_)
{
	enum reeve_support support;
	const char *reason;

	need_backend();
	reason = reason_in("functions", REEVE_FILE, &support);
	if (ebpf_try_function() < 0)
		assert_int_equal(support, REEVE_UNAVAILABLE);
	if (support == REEVE_UNAVAILABLE)
		assert_non_null(strstr(reason, "programs at functions of the kernel"));
	else
		assert_non_null(strstr(reason, "; tier: functions"));
}

/* --- what goes through io_uring ----------------------------------------------------------------
 */

static struct io_uring_sqe request(uint8_t opcode, const char *path, uint32_t mode)
{
	struct io_uring_sqe sqe = { .opcode = opcode, .fd = AT_FDCWD, .len = mode };

	sqe.addr = (uintptr_t)path;
	return sqe;
}

static int change(struct uring *u, uint8_t opcode, const char *path, const char *path2)
{
	struct io_uring_sqe sqe = request(opcode, path, 0);

	if (opcode == IORING_OP_RENAMEAT || opcode == IORING_OP_LINKAT)
		sqe.len = (uint32_t)AT_FDCWD;
	sqe.addr2 = (uintptr_t)path2;
	return uring_do(u, &sqe);
}

static void remove_by_ring(struct uring *u)
{
	struct io_uring_sqe sqe = request(IORING_OP_UNLINKAT, "d", 0);

	must(change(u, IORING_OP_UNLINKAT, "way/c", NULL) == 0);
	must(change(u, IORING_OP_UNLINKAT, "none", NULL) == -ENOENT);
	must(change(u, IORING_OP_UNLINKAT, path_in("b"), NULL) == 0);
	must(change(u, IORING_OP_UNLINKAT, "s", NULL) == 0);
	sqe.unlink_flags = AT_REMOVEDIR;
	must(uring_do(u, &sqe) == 0);
}

static void change_by_ring(void *userdata _unused_)
{
	struct io_uring_sqe sqe;
	struct uring u;

	must(chdir(directory) == 0 && symlink(".", "way") == 0);
	if (uring_open(&u) < 0)
		_exit(CANNOT);
	sqe = request(IORING_OP_OPENAT, "a", 0640);
	sqe.open_flags = O_CREAT | O_WRONLY | O_CLOEXEC;
	must(close(uring_do(&u, &sqe)) == 0);
	sqe = request(IORING_OP_OPENAT, "none", 0);
	must(uring_do(&u, &sqe) == -ENOENT);
	sqe = request(IORING_OP_MKDIRAT, "d", 0700);
	if (uring_do(&u, &sqe) != 0)
		_exit(CANNOT); /* before Linux 5.15 */
	must(change(&u, IORING_OP_RENAMEAT, "a", "way/b") == 0);
	must(change(&u, IORING_OP_LINKAT, "b", "c") == 0);
	must(change(&u, IORING_OP_SYMLINKAT, "b", "s") == 0);
	remove_by_ring(&u);
}

static void assert_all_changes(const struct observed *o)
{
	const struct reeve_event *e = event_at(o, REEVE_CREATED, path_in("a"));

	assert_int_equal(e->pid, o->pid);
	assert_int_equal(e->mode, 0640);
	assert_int_equal(e->flags & (O_ACCMODE | O_CREAT | O_NONBLOCK), O_WRONLY | O_CREAT);
	event_at(o, REEVE_CLOSED, path_in("a"));
	e = event_at(o, REEVE_OPENED, path_in("none"));
	assert_int_equal(e->result, -ENOENT);
	assert_int_equal(event_at(o, REEVE_MKDIR, path_in("d"))->mode, 0700);
	e = event_at(o, REEVE_RENAMED, path_in("a"));
	assert_string_equal(e->path2, path_in("b"));
	assert_false(e->fields & (REEVE_HAS_CLAIMED | REEVE_HAS_RESULT));
	assert_string_equal(event_at(o, REEVE_LINKED, path_in("b"))->path2, path_in("c"));
	assert_string_equal(event_at(o, REEVE_SYMLINKED, "b")->path2, path_in("s"));
	event_at(o, REEVE_UNLINKED, path_in("c"));
	event_at(o, REEVE_UNLINKED, path_in("b"));
	event_at(o, REEVE_UNLINKED, path_in("s"));
	event_at(o, REEVE_RMDIR, path_in("d"));
	e = event_at(o, REEVE_UNLINKED, path_in("none"));
	assert_int_equal(e->result, -ENOENT);
	assert_true(e->fields & REEVE_HAS_CLAIMED);
	assert_int_equal(observed_count(o, REEVE_UNLINKED, 0), 4);
	assert_int_equal(observed_count(o, REEVE_URING, 0), 0);
}

static void changes_through_io_uring_are_told_as_the_tier_can(void **state _unused_)
{
	struct observed o;

	need_backend();
	observed_start(&o, &BACKEND, FILES, change_by_ring, NULL);
	observed_finish(&o);
	assert_true(WIFEXITED(o.status));
	if (WEXITSTATUS(o.status) != CANNOT) {
		assert_int_equal(o.status, 0);
		if (at_functions())
			assert_all_changes(&o);
		else
			assert_int_equal(observed_find(&o, REEVE_URING, o.pid)->opcode,
					 IORING_OP_OPENAT);
	}
	observed_done(&o);
}

/* --- what the process does itself --------------------------------------------------------------
 */

static void go_by_other_names(void *userdata _unused_)
{
	must(chdir(directory) == 0 && mkdir("real", 0700) == 0 && symlink("real", "way") == 0);
	must(mkdir("way/d", 0700) == 0);
	must(close(open("way/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	must(rename("way/f", "./way/../g") == 0);
	must(link("g", "way/h") == 0);
	must(unlink("way/h") == 0 && rmdir("way/d") == 0 && unlink("way/none") < 0);
}

static void names_are_the_kernels_where_the_tier_has_them(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, go_by_other_names, NULL);
	if (at_functions()) {
		event_at(&o, REEVE_MKDIR, path_in("real/d"));
		e = event_at(&o, REEVE_RENAMED, path_in("real/f"));
		assert_string_equal(e->path2, path_in("g"));
		assert_false(e->fields & REEVE_HAS_CLAIMED);
		assert_string_equal(event_at(&o, REEVE_LINKED, path_in("g"))->path2,
				    path_in("real/h"));
		event_at(&o, REEVE_UNLINKED, path_in("real/h"));
		event_at(&o, REEVE_RMDIR, path_in("real/d"));
	} else {
		e = event_at(&o, REEVE_UNLINKED, path_in("way/h"));
		assert_true(e->fields & REEVE_HAS_CLAIMED);
	}
	e = event_at(&o, REEVE_UNLINKED, path_in("way/none"));
	assert_int_equal(e->result, -ENOENT);
	assert_true(e->fields & REEVE_HAS_CLAIMED);
	observed_done(&o);
}

/* --- who holds the programs --------------------------------------------------------------------
 */

#define HOLDERS 64

/* The processes that hold programs, of whoever. */
static unsigned find_holders(pid_t found[HOLDERS])
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	unsigned n = 0;

	assert_non_null(dir);
	while (n < HOLDERS && (d = readdir(dir))) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) && strcmp(name, "reeve-functions\n") == 0)
			found[n++] = (pid_t)atoi(d->d_name);
		(void)fclose(f);
	}
	closedir(dir);
	return n;
}

static void wait_and_rename(void *userdata)
{
	char byte;

	must(chdir(directory) == 0 && symlink(".", "way") == 0);
	must(close(open("a", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	must(read(*(int *)userdata, &byte, 1) == 1);
	must(rename("way/a", "way/b") == 0);
}

static bool is_in(const pid_t *pids, unsigned n, pid_t pid)
{
	for (unsigned i = 0; i < n; i++) {
		if (pids[i] == pid)
			return true;
	}
	return false;
}

static pid_t new_holder(const pid_t *before, unsigned n)
{
	pid_t now[HOLDERS];
	unsigned m = find_holders(now);

	for (unsigned i = 0; i < m; i++) {
		if (!is_in(before, n, now[i]))
			return now[i];
	}
	return 0;
}

static void assert_gone(struct observed *o, pid_t pid)
{
	uint64_t deadline = clock_monotonic_ms() + 60000;

	while (kill(pid, 0) == 0 && clock_monotonic_ms() < deadline) {
		if (o)
			observed_look(o);
		else
			poll(NULL, 0, 20);
	}
	assert_int_not_equal(kill(pid, 0), 0);
}

static void who_holds_the_programs_may_be_killed_and_ends_with_the_observer(void **state _unused_)
{
	pid_t before[HOLDERS + 1], first, second;
	struct observed o;
	int until[2];
	unsigned n;

	need_backend();
	if (!at_functions())
		return;
	assert_int_equal(pipe2(until, O_CLOEXEC), 0);
	n = find_holders(before);
	observed_start(&o, &BACKEND, FILES, wait_and_rename, &until[0]);
	first = new_holder(before, n);
	assert_true(first != 0 && kill(first, SIGKILL) == 0);
	observed_go(&o);
	assert_gone(&o, first);
	before[n++] = first;
	do
		observed_look(&o);
	while ((second = new_holder(before, n)) == 0);
	assert_int_equal(o.missed[REEVE_FILE], 1);
	assert_int_equal(write(until[1], "", 1), 1);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_string_equal(event_at(&o, REEVE_RENAMED, path_in("a"))->path2, path_in("b"));
	observed_done(&o);
	assert_gone(NULL, second);
	close(until[0]);
	close(until[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_reason_says_which_tier_it_is_and_why_it_is_not_the_other),
		TEST(the_first_tier_can_be_had_everywhere),
		TEST(the_second_tier_is_not_taken_for_granted),
		TEST(changes_through_io_uring_are_told_as_the_tier_can),
		TEST(names_are_the_kernels_where_the_tier_has_them),
		TEST(who_holds_the_programs_may_be_killed_and_ends_with_the_observer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
