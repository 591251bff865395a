/* SPDX-License-Identifier: Apache-2.0 */
/* What is run, found and refused by spawn_child(). What the child finds: test_spawn_context.c. */
#include "spawner.h"

static void assert_fails(char *const *argv, enum spawn_step step, int error)
{
	assert_int_equal(exit_code_of(argv), 127);
	assert_int_equal(word_load(&outcome->slot.step), step);
	assert_int_equal(word_load(&outcome->slot.fail), error);
}

/* --- what is run ----------------------------------------------------------------------------- */

static void the_child_belongs_to_the_spawners_parent(void **state _unused_)
{
	/* reap() could not wait for it otherwise. */
	assert_int_equal(exit_code_of(ARGV("/bin/sh", "-c", "exit 7")), 7);
	assert_int_equal(word_load(&outcome->slot.step), STEP_EXEC);
	assert_int_equal(word_load(&outcome->slot.fail), 0);
}

static void the_record_names_the_child_before_it_runs(void **state _unused_)
{
	char pid[32];
	int pair[2];
	pid_t child;
	ssize_t n;

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	plan.fds.out = pair[1];
	child = spawn(ARGV("/bin/sh", "-c", "echo $$"));
	closep(&pair[1]);
	n = fd_read_full(pair[0], pid, sizeof(pid) - 1);
	closep(&pair[0]);
	assert_true(n > 0);
	pid[n] = 0;
	assert_int_equal(atoi(pid), child);
	reap(child);
}

static void arguments_arrive_as_they_are(void **state _unused_)
{
	assert_says(ARGV("/bin/sh", "-c", "printf '<%s>' \"$0\" \"$@\"", "", "a b", "", "\n",
			 "\xff*$x"),
		    "<><a b><><\n><\xff*$x>");
}

static void the_environment_is_the_one_that_was_sent(void **state _unused_)
{
	plan.spec.envp = ARGV("B=2", "A=1", "EMPTY=", "odd");
	setenv("REEVE_TEST_OF_THE_SPAWNER", "1", 1);
	assert_says(ARGV("/usr/bin/env"), "B=2\nA=1\nEMPTY=\nodd\n");
	plan.spec.envp = no_env;
	assert_says(ARGV("/usr/bin/env"), "");
}

static void a_script_without_an_interpreter_goes_to_the_shell(void **state _unused_)
{
	const char *script = make_file("plain", 0755, "echo \"$0 $# $1\"\n");
	char expected[256];

	snprintf(expected, sizeof(expected), "%s 2 one\n", script);
	assert_says(ARGV(script, "one", "two"), expected);
}

static void a_script_without_an_interpreter_is_found_by_path(void **state _unused_)
{
	char path[128], expected[256];

	snprintf(path, sizeof(path), "PATH=%s", directory);
	snprintf(expected, sizeof(expected), "%s 1 x\n",
		 make_file("found", 0755, "echo \"$0 $# $1\"\n"));
	plan.spec.envp = ARGV(path);
	assert_says(ARGV("found", "x"), expected);
}

/* --- what fails, and where ------------------------------------------------------------------- */

static void what_cannot_be_executed_is_told_by_errno(void **state _unused_)
{
	assert_fails(ARGV("/nonexistent/program"), STEP_EXEC, ENOENT);
	assert_fails(ARGV("no-such-command-anywhere"), STEP_EXEC, ENOENT);
	assert_fails(ARGV(""), STEP_EXEC, ENOENT);
	assert_fails(ARGV("/"), STEP_EXEC, EACCES);
	assert_fails(ARGV("/etc/passwd/x"), STEP_EXEC, ENOTDIR);
	assert_fails(ARGV(make_file("data", 0644, "echo no\n")), STEP_EXEC, EACCES);
	assert_fails(ARGV(make_file("lost", 0755, "#!/nonexistent/sh\n")), STEP_EXEC, ENOENT);
}

static void a_directory_that_is_not_there_is_named_by_its_step(void **state _unused_)
{
	plan.spec.cwd = "/nonexistent/directory";
	assert_fails(ARGV("/bin/true"), STEP_CHDIR, ENOENT);
	plan.spec.cwd = "/etc/passwd";
	assert_fails(ARGV("/bin/true"), STEP_CHDIR, ENOTDIR);
}

static void a_limit_that_makes_no_sense_is_named_by_its_step(void **state _unused_)
{
	plan.spec.header.limits_set = 1U << RLIMIT_CORE;
	plan.spec.header.limits[RLIMIT_CORE] = (struct spec_limit){ 10, 5 };
	assert_fails(ARGV("/bin/true"), STEP_LIMITS, EINVAL);
}

static void a_cgroup_that_does_not_take_it_is_named_by_its_step(void **state _unused_)
{
	plan.fds.cgroup = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_fails(ARGV("/bin/true"), STEP_CGROUP, ENOTDIR);
	closep(&plan.fds.cgroup);
}

static void a_terminal_that_is_none_is_named_by_its_step(void **state _unused_)
{
	plan.spec.header.flags = SPEC_TERMINAL;
	plan.fds.in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_fails(ARGV("/bin/true"), STEP_TERMINAL, ENOTTY);
	closep(&plan.fds.in);
}

static void a_descriptor_that_is_closed_is_named_by_its_step(void **state _unused_)
{
	plan.fds.err = 900;
	assert_fails(ARGV("/bin/true"), STEP_FDS, EBADF);
}

static void each_step_has_a_name(void **state _unused_)
{
	for (unsigned step = 0; step < N_SPAWN_STEPS; step++) {
		assert_non_null(spawn_step_name(step));
		for (unsigned other = 0; other < step; other++)
			assert_string_not_equal(spawn_step_name(step), spawn_step_name(other));
	}
	assert_string_equal(spawn_step_name(STEP_EXEC), "execve");
	assert_string_equal(spawn_step_name(N_SPAWN_STEPS), "unknown step");
}

/* --- PATH, as execvp(3) searches it ---------------------------------------------------------- */

static char path_variable[8192];

/* Builds a PATH: each letter stands for a directory of that name, `.` for an empty element, `L` for
 * one that is longer than any path. */
static void set_path(const char *elements)
{
	char *at = stpcpy(path_variable, "PATH=");

	for (const char *e = elements; *e; e++) {
		if (e > elements)
			*at++ = ':';
		if (*e == 'L')
			at = (char *)memset(at, 'x', 5000) + 5000;
		else if (*e != '.')
			at += sprintf(at, "%s/%c", directory, *e);
	}
	*at = 0;
}

/* What execvp(3) itself makes of it: the exit code, or -errno. Where it tells of the last directory
 * that was none, we say that there is no such program. */
static int by_execvp(const char *name)
{
	_Atomic int *error = mmap(NULL, sizeof(*error), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, r;
	pid_t pid;

	assert_ptr_not_equal(error, MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (chdir(plan.spec.cwd) == 0 && putenv(path_variable) == 0)
			errno = 0, execvp(name, ARGV(name));
		*error = errno ? errno : ENOENT; /* no element was short enough */
		_exit(1);
	}
	status = reap(pid);
	r = *error ? -*error : WEXITSTATUS(status);
	munmap((void *)error, sizeof(*error));
	return r == -ENOTDIR ? -ENOENT : r;
}

static int by_spawn(const char *name)
{
	int code;

	plan.spec.envp = ARGV(path_variable);
	code = exit_code_of(ARGV(name));
	return word_load(&outcome->slot.fail) ? -(int)word_load(&outcome->slot.fail) : code;
}

static void make_path_elements(void)
{
	make_directory("n"); /* nothing in it */
	make_directory("p"); /* not permitted */
	make_file("p/tool", 0644, "exit 10\n");
	make_directory("s"); /* a script without an interpreter */
	make_file("s/tool", 0755, "exit 11\n");
	make_directory("i"); /* with one */
	make_file("i/tool", 0755, "#!/bin/sh\nexit 12\n");
	make_directory("d"); /* a directory */
	make_directory("d/tool");
	make_directory("w"); /* with the wrong one */
	make_file("w/tool", 0755, "#!/nonexistent/sh\n");
	make_directory("l"); /* a loop */
	assert_int_equal(symlink("tool", path_of_file("l/tool")), 0);
	make_file("f", 0644, ""); /* a file among the directories */
	make_directory("h");      /* where the child is */
	make_file("h/tool", 0755, "#!/bin/sh\nexit 13\n");
	plan.spec.cwd = path_of_file("h");
}

static void path_is_searched_as_execvp_does(void **state _unused_)
{
	static const char *const paths[] = { "",   "n",   "p",   "s",   "i",   "d",  "w",
					     "l",  "f",   "L",   ".",   "ni",  "pi", "pn",
					     "si", "is",  "di",  "dn",  "wi",  "li", "fi",
					     ".i", "i.",  "n.",  "pd",  "pwn", "pl", "z",
					     "zi", "npi", "n.i", "pnd", "fpzn" };
	static const char *const names[] = { "tool", "./tool", "missing" };

	make_path_elements();
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
			set_path(paths[i]);
			if (by_spawn(names[k]) != by_execvp(names[k]))
				fail_msg("PATH of %s, %s: %d, but execvp: %d", paths[i], names[k],
					 by_spawn(names[k]), by_execvp(names[k]));
		}
	/* Here glibc goes on with the current directory. */
	set_path("Li");
	assert_int_equal(by_spawn("tool"), 12);
	/* And the table itself has both kinds of ends. */
	set_path("pni");
	assert_int_equal(by_spawn("tool"), 12);
	set_path("pn");
	assert_int_equal(by_spawn("tool"), -EACCES);
}

static void without_path_the_usual_directories_are_searched(void **state _unused_)
{
	plan.spec.envp = ARGV("NOPATH=/nonexistent");
	assert_int_equal(exit_code_of(ARGV("true")), 0);
	plan.spec.cwd = directory;
	make_file("here", 0755, "exit 0\n");
	assert_fails(ARGV("here"), STEP_EXEC, ENOENT);
}

static void the_first_path_of_the_environment_counts(void **state _unused_)
{
	plan.spec.envp = ARGV("PATH=/nonexistent", "PATH=/bin:/usr/bin");
	assert_fails(ARGV("true"), STEP_EXEC, ENOENT);
	plan.spec.envp = ARGV("XPATH=/bin", "PATHS=/bin", "PATH=/bin:/usr/bin");
	assert_int_equal(exit_code_of(ARGV("true")), 0);
}

/* --- how much an execve takes ---------------------------------------------------------------- */

#define STRING_MAX (128 * KiB) /* MAX_ARG_STRLEN, its NUL included: execve(2) */
#define MANY       24

static char *strings[MANY + 1];

/* `n` strings of `size` bytes each, as the environment; a quarter of the stack is the limit. */
static void set_strings(size_t n, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		strings[i] = malloc(size + 1);
		assert_non_null(strings[i]);
		memset(strings[i], 'v', size);
		strings[i][0] = (char)('a' + i);
		strings[i][1] = '=';
		strings[i][size] = 0;
	}
	strings[n] = NULL;
	plan.spec.envp = strings;
	plan.spec.header.limits_set = 1U << RLIMIT_STACK;
	plan.spec.header.limits[RLIMIT_STACK] = (struct spec_limit){ STACK_LIMIT, STACK_LIMIT };
}

static void free_strings(void)
{
	for (size_t i = 0; strings[i]; i++)
		free(strings[i]);
	plan.spec.envp = no_env;
}

static void assert_environment_fits(bool fits)
{
	_cleanup_(freep) char *found = NULL;
	size_t size = 0, expected = 0;
	char path[64];
	struct cat cat;

	if (!fits) {
		assert_fails(ARGV("/bin/cat"), STEP_EXEC, E2BIG);
		return;
	}
	cat_open(&cat);
	cat_start(&cat);
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)cat.pid);
	assert_int_equal(fd_read_file(path, SPEC_SIZE_MAX, &found, &size), 0);
	for (size_t i = 0; strings[i]; i++) {
		assert_memory_equal(found + expected, strings[i], strlen(strings[i]) + 1);
		expected += strlen(strings[i]) + 1;
	}
	assert_int_equal(size, expected);
	cat_end(&cat);
	cat_close(&cat);
}

static void one_string_may_have_what_the_kernel_allows(void **state _unused_)
{
	set_strings(1, STRING_MAX - 1);
	assert_environment_fits(true);
	free_strings();
	set_strings(1, STRING_MAX);
	assert_environment_fits(false);
	free_strings();
}

static void all_together_may_have_what_the_kernel_allows(void **state _unused_)
{
	set_strings(17, 120000);
	assert_environment_fits(true);
	free_strings();
	set_strings(18, 120000);
	assert_environment_fits(false);
	free_strings();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, spawner_setup, spawner_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_child_belongs_to_the_spawners_parent),
		TEST(the_record_names_the_child_before_it_runs),
		TEST(arguments_arrive_as_they_are),
		TEST(the_environment_is_the_one_that_was_sent),
		TEST(a_script_without_an_interpreter_goes_to_the_shell),
		TEST(a_script_without_an_interpreter_is_found_by_path),
		TEST(what_cannot_be_executed_is_told_by_errno),
		TEST(a_directory_that_is_not_there_is_named_by_its_step),
		TEST(a_limit_that_makes_no_sense_is_named_by_its_step),
		TEST(a_cgroup_that_does_not_take_it_is_named_by_its_step),
		TEST(a_terminal_that_is_none_is_named_by_its_step),
		TEST(a_descriptor_that_is_closed_is_named_by_its_step),
		TEST(each_step_has_a_name),
		TEST(path_is_searched_as_execvp_does),
		TEST(without_path_the_usual_directories_are_searched),
		TEST(the_first_path_of_the_environment_counts),
		TEST(one_string_may_have_what_the_kernel_allows),
		TEST(all_together_may_have_what_the_kernel_allows),
	};

	return cmocka_run_group_tests(tests, directory_setup, directory_teardown);
}
