/* SPDX-License-Identifier: Apache-2.0 */
/* The backend fanotify: what it sees of a tree, and of nobody else. */
#include "base/cleanup.h"
#include "fds.h"
#include "observed.h"
#include <sys/stat.h>

#define FILES (1U << REEVE_FILE)

static const struct backend *const backend = &backend_fanotify;
static char dir[64];

static int setup(void **state _unused_)
{
	strcpy(dir, "/var/tmp/rv-fan-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(system(command), 0);
	return 0;
}

static void observe(struct observed *o, void (*role)(void *), void *userdata)
{
	observed_start(o, backend, FILES, role, userdata);
	observed_finish(o);
	assert_int_equal(o->status, 0);
}

static void need(bool condition)
{
	if (!condition)
		_exit(1);
}

static char *in_dir(const char *name)
{
	static char paths[8][128];
	static unsigned n;
	char *path = paths[n++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void work_on_files(void *userdata _unused_)
{
	int fd = open("a", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), status;
	pid_t pid;

	need(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
	need(mkdir("d", 0700) == 0 && rename("a", "d/b") == 0 && open("none", O_RDONLY) < 0);
	pid = fork(); /* ended, and reaped, before anybody reads of what it did */
	if (pid == 0)
		_exit(open("d/b", O_RDONLY) < 0);
	need(waitpid(pid, &status, 0) == pid && status == 0);
	need(unlink("d/b") == 0 && mkdir("e", 0700) == 0 && rmdir("e") == 0);
}

static void what_succeeds_is_seen_with_its_path(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, work_on_files, NULL);
	assert_non_null(observed_path(&o, REEVE_CREATED, in_dir("a")));
	assert_non_null(observed_path(&o, REEVE_OPENED, in_dir("a")));
	assert_non_null(observed_path(&o, REEVE_CLOSED, in_dir("a")));
	assert_non_null(observed_path(&o, REEVE_MKDIR, in_dir("d")));
	e = observed_path(&o, REEVE_RENAMED, in_dir("a"));
	assert_non_null(e);
	assert_string_equal(e->path2, in_dir("d/b"));
	assert_int_equal(e->pid, o.pid);
	assert_non_null(observed_path(&o, REEVE_RMDIR, in_dir("e")));
	assert_null(observed_path(&o, REEVE_OPENED, in_dir("none")));
	assert_int_equal(o.missed[REEVE_FILE], 0);
	observed_done(&o);
}

static void fork_and_open(void *userdata)
{
	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			char name[16];

			(void)snprintf(name, sizeof(name), "f%d", i);
			_exit(open(name, O_CREAT | O_WRONLY, 0600) < 0);
		}
		need(waitpid(pid, &status, 0) == pid && status == 0);
	}
	(void)userdata;
}

static void what_short_lived_children_do_is_seen(void **state _unused_)
{
	struct observed o;
	char name[16];

	observe(&o, fork_and_open, NULL);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		assert_non_null(observed_path(&o, REEVE_CREATED, in_dir(name)));
	}
	observed_done(&o);
}

static void what_others_do_is_not_told(void **state _unused_)
{
	struct observed o;
	pid_t other;

	observed_start(&o, backend, FILES, work_on_files, NULL);
	other = fork();
	if (other == 0)
		_exit(open("of-another", O_CREAT | O_WRONLY, 0600) < 0);
	assert_int_equal(waitpid(other, NULL, 0), other);
	observed_finish(&o);
	assert_null(observed_path(&o, REEVE_CREATED, in_dir("of-another")));
	for (size_t i = 0; i < o.n; i++)
		assert_int_not_equal(o.events[i]->pid, other);
	observed_done(&o);
}

static void two_trees_are_told_apart(void **state _unused_)
{
	struct observed one, two;

	observed_start(&one, backend, FILES, work_on_files, NULL);
	observed_init(&two);
	host_free(two.host);
	two.host = one.host; /* one group for both */
	observed_fork(&two, fork_and_open, NULL);
	observed_start_with(
		&two, backend,
		&(struct backend_target){
			.session = 2, .leader = two.pid, .gated = true, .categories = FILES });
	observed_finish(&one);
	observed_finish(&two);
	assert_non_null(observed_path(&one, REEVE_MKDIR, in_dir("d")));
	assert_null(observed_path(&one, REEVE_CREATED, in_dir("f0")));
	assert_non_null(observed_path(&two, REEVE_CREATED, in_dir("f0")));
	assert_null(observed_path(&two, REEVE_MKDIR, in_dir("d")));
	two.observation = observation_stop(two.observation);
	two.host = NULL;
	observed_done(&one);
	observed_done(&two);
}

enum { FLOOD = 20000 }; /* more than the kernel keeps */

static void flood(void *userdata _unused_)
{
	for (int i = 0; i < FLOOD; i++) {
		char name[16];
		int fd;

		(void)snprintf(name, sizeof(name), "f%d", i);
		fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		need(fd >= 0 && close(fd) == 0 && unlink(name) == 0);
	}
}

static void what_overflows_is_said_to_be_missed(void **state _unused_)
{
	struct observed o;

	observed_start(&o, backend, FILES, flood, NULL);
	observed_go(&o);
	assert_int_equal(waitpid(o.pid, &o.status, 0), o.pid);
	assert_int_equal(o.status, 0);
	observation_flush(o.observation);
	assert_true(o.missed[REEVE_FILE] > 0);
	observed_done(&o);
}

static int probe_as_ordinary_user(void *userdata _unused_)
{
	struct backend_support support[REEVE_CATEGORIES] = { 0 };

	backend->probe(REEVE_LAUNCHED_TREE, -1, support);
	return support[REEVE_FILE].support == REEVE_UNAVAILABLE &&
			       strstr(support[REEVE_FILE].reason, "CAP_SYS_ADMIN") != NULL
		       ? 0
		       : 1;
}

static void an_ordinary_user_is_told_what_is_missing(void **state _unused_)
{
	assert_int_equal(in_child(getuid() == 0 ? NOBODY : 0, probe_as_ordinary_user, NULL), 0);
}

static void nothing_is_left_open(void **state _unused_)
{
	unsigned before = count_fds();
	struct observed o;

	observe(&o, work_on_files, NULL);
	observed_done(&o);
	assert_int_equal(count_fds(), before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_succeeds_is_seen_with_its_path),
		TEST(what_short_lived_children_do_is_seen),
		TEST(what_others_do_is_not_told),
		TEST(two_trees_are_told_apart),
		TEST(what_overflows_is_said_to_be_missed),
		TEST(nothing_is_left_open),
	};

	static const struct CMUnitTest refused[] = {
		cmocka_unit_test(an_ordinary_user_is_told_what_is_missing),
	};
	int failed = cmocka_run_group_tests(refused, NULL, NULL);

	if (backend_works(backend, REEVE_LAUNCHED_TREE))
		failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}
