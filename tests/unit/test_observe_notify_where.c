/* SPDX-License-Identifier: Apache-2.0 */
/* The backend seccomp-user-notify: in which directory a process is, which is known without asking
 * /proc about each for as long as none has gone elsewhere. */
#include "base/cleanup.h"
#include "notify_observed.h"
#include <sched.h>
#include <sys/stat.h>

static char dir[64];

static int setup(void **state _unused_)
{
	strcpy(dir, "/tmp/rv-where-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int teardown(void **state _unused_)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

/* Runs a program whose argument says where it is, below the directory. */
static void execute_where(const char *place)
{
	execl("/bin/true", "true", place, NULL);
	_exit(1);
}

static void execute_in_child(const char *place)
{
	pid_t pid = fork();

	if (pid == 0)
		execute_where(place);
	wait_for(pid);
}

static void assert_places(const struct observed *o, unsigned expected)
{
	const struct reeve_event *e;
	unsigned n = 0;

	for (; (e = observed_nth(o, REEVE_EXECUTED, 0, n)); n++) {
		char place[256];

		(void)snprintf(place, sizeof(place), "%s%s", dir, e->argv + strlen(e->argv) + 1);
		assert_string_equal(e->cwd, place);
	}
	assert_int_equal(n, expected);
}

static int share_directory(void *to)
{
	need(chdir(to) == 0);
	return 0;
}

static void go_elsewhere(void *userdata _unused_)
{
	static _Alignas(16) char stack[65536];
	pid_t pid;
	int at;

	need(mkdir("a", 0700) == 0 && mkdir("a/b", 0700) == 0 && mkdir("c", 0700) == 0);
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(at >= 0);
	for (int i = 0; i < 3; i++)
		execute_in_child("");
	pid = fork();
	if (pid == 0) { /* as a subshell does */
		need(chdir("a/b") == 0);
		execute_where("/a/b");
	}
	wait_for(pid);
	execute_in_child("");
	need(chdir("a") == 0);
	execute_in_child("/a");
	need(open("relative", O_RDONLY) < 0);
	need(fchdir(at) == 0);
	execute_in_child("");
	pid = clone(share_directory, stack + sizeof(stack), CLONE_FS | SIGCHLD, (void *)"c");
	wait_for(pid);
	execute_in_child("/c");
	need(open("relative", O_RDONLY) < 0);
}

static void run_in_dir(void *role)
{
	((void (*)(void *))role)(NULL);
}

/* `role` begins in the directory. */
static void observe_in_dir(struct observed *o, void (*role)(void *))
{
	char *before = getcwd(NULL, 0);

	assert_true(before && chdir(dir) == 0);
	observe(o, run_in_dir, role);
	assert_int_equal(chdir(before), 0);
	free(before);
}

static void assert_opened(const struct observed *o, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s%s", dir, name);
	if (!observed_path(o, REEVE_OPENED, path))
		fail_msg("%s was not opened", path);
}

static void each_is_where_it_has_gone(void **state _unused_)
{
	struct observed o;

	observe_in_dir(&o, go_elsewhere);
	assert_places(&o, 8);
	assert_opened(&o, "/a/relative");
	assert_opened(&o, "/c/relative");
	observed_done(&o);
}

static void have_directories_renamed(void *userdata _unused_)
{
	char moved[128];

	(void)snprintf(moved, sizeof(moved), "%s.moved", dir);
	execute_in_child("");
	execute_in_child("");
	need(open("relative", O_RDONLY) < 0);
	need(rename(dir, moved) == 0);
	execute_in_child(".moved");
	need(open("relative", O_RDONLY) < 0 && rename(moved, dir) == 0);
	execute_in_child("");
	need(rename(dir, moved) == 0 && mkdir(dir, 0700) == 0); /* another one */
	execute_in_child(".moved");
	need(rmdir(dir) == 0 && rename(moved, dir) == 0 && symlink(dir, moved) == 0);
	execute_in_child("");
	need(unlink(moved) == 0 && rmdir(dir) == 0);
	execute_in_child(" (deleted)");
}

static void a_directory_has_the_name_that_it_has_by_then(void **state _unused_)
{
	struct observed o;

	observe_in_dir(&o, have_directories_renamed);
	assert_places(&o, 7);
	assert_opened(&o, "/relative");
	assert_opened(&o, ".moved/relative");
	observed_done(&o);
}

/* One is in a directory of its own when the test is told so; then it waits for the test. */
static void be_elsewhere_before(void *ends)
{
	const int *told = ends, *go = told + 2;
	int inner[2];
	pid_t pid;
	char byte;

	need(chdir(dir) == 0 && mkdir("a", 0700) == 0 && pipe2(inner, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		need(chdir("a") == 0 && write(told[1], "", 1) == 1);
		need(read(inner[0], &byte, 1) == 1);
		execute_where("/a");
	}
	need(read(go[0], &byte, 1) == 1);
	execute_in_child("");
	need(write(inner[1], "", 1) == 1);
	wait_for(pid);
}

static void who_begins_to_look_later_asks_where_each_is(void **state _unused_)
{
	struct backend_target target = { .session = 1, .categories = ALL };
	int ends[4];
	struct pollfd told = { .events = POLLIN };
	struct observed o;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ends + 2, O_CLOEXEC), 0);
	observed_start(&o, backend, ALL, be_elsewhere_before, ends);
	observed_go(&o);
	for (told.fd = ends[0]; poll(&told, 1, 0) == 0;)
		observed_look(&o);
	o.observation = observation_stop(o.observation);
	target.leader = o.pid;
	observed_start_with(&o, backend, &target);
	assert_int_equal(write(ends[3], "", 1), 1);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_places(&o, 2);
	observed_done(&o);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		close(ends[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(each_is_where_it_has_gone),
		TEST(a_directory_has_the_name_that_it_has_by_then),
		TEST(who_begins_to_look_later_asks_where_each_is),
	};

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
