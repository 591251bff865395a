/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/paths.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A fixture: a directory of its own, and no variable set. */
static int make_dir(void **state)
{
	static const char *const variables[] = { "REEVE_DIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
						 "HOME" };
	char *dir = strdup("/tmp/test_paths.XXXXXX");

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		unsetenv(variables[i]);
	assert_non_null(mkdtemp(dir));
	*state = dir;
	return 0;
}

static int drop_dir(void **state)
{
	_cleanup_(freep) char *command = NULL;

	assert_true(asprintf(&command, "rm -rf '%s'", (char *)*state) > 0);
	assert_int_equal(system(command), 0);
	free(*state);
	return 0;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void reeve_dir_moves_everything(void **state)
{
	_cleanup_(paths_done) struct paths p = { 0 };
	struct error e;

	(void)state;
	setenv("REEVE_DIR", "/tmp/elsewhere//", 1);
	setenv("XDG_STATE_HOME", "/state", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
	assert_int_equal(paths_resolve(&p, &e), 0);
	assert_string_equal(p.dir, "/tmp/elsewhere");
	assert_string_equal(p.socket, "/tmp/elsewhere/api.sock");
	assert_string_equal(p.lock, "/tmp/elsewhere/lock");
	assert_string_equal(p.log, "/tmp/elsewhere/reeve.log");
	assert_string_equal(p.roster, "/tmp/elsewhere/roster");
	assert_null(p.runtime_link);
	assert_true(p.chosen);
	assert_false(p.fallback);
}

static void the_state_directory_comes_before_the_home(void **state)
{
	_cleanup_(paths_done) struct paths p = { 0 }, q = { 0 };
	const char *tmp = *state;
	struct error e;

	setenv("REEVE_DIR", "", 1);
	setenv("XDG_STATE_HOME", tmp, 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
	assert_int_equal(paths_resolve(&p, &e), 0);
	assert_memory_equal(p.dir, tmp, strlen(tmp));
	assert_memory_equal(p.dir + strlen(tmp), "/reeve/", 7);
	assert_true(strlen(p.dir) > strlen(tmp) + 7);
	assert_null(strchr(p.dir + strlen(tmp) + 7, '/'));
	assert_string_equal(p.runtime_link, "/run/user/1/reeve");

	unsetenv("XDG_STATE_HOME");
	setenv("HOME", tmp, 1);
	assert_int_equal(paths_resolve(&q, &e), 0);
	assert_memory_equal(q.dir + strlen(tmp), "/.local/state/reeve/", 20);
	assert_string_equal(q.dir + strlen(tmp) + 20, p.dir + strlen(tmp) + 7);
	assert_false(q.fallback);
	assert_false(q.chosen);
}

static void a_relative_directory_is_refused_by_name(void **state)
{
	static const char *const variables[] = { "REEVE_DIR", "XDG_STATE_HOME", "HOME",
						 "XDG_RUNTIME_DIR" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		struct paths p = { 0 };
		struct error e;

		setenv("HOME", "/tmp", 1);
		setenv(variables[i], "some/where", 1);
		assert_int_equal(paths_resolve(&p, &e), -EINVAL);
		assert_non_null(strstr(e.message, variables[i]));
		assert_non_null(strstr(e.message, "some/where"));
		assert_null(p.dir);
		unsetenv(variables[i]);
	}
}

/* "/tmp/xxx...", `n` bytes long. */
static char *long_path(char *buf, size_t n)
{
	memset(buf, 'x', n);
	memcpy(buf, "/tmp/", 5);
	buf[n] = '\0';
	return buf;
}

static void a_reeve_dir_too_long_for_a_socket_names_limit_and_remedy(void **state)
{
	_cleanup_(paths_done) struct paths p = { 0 }, q = { 0 };
	char path[200];
	struct error e;

	(void)state;
	setenv("REEVE_DIR", long_path(path, 98), 1);
	assert_int_equal(paths_resolve(&p, &e), 0);
	assert_int_equal(strlen(p.socket), PATHS_SOCKET_MAX);
	setenv("REEVE_DIR", long_path(path, 99), 1);
	assert_int_equal(paths_resolve(&q, &e), -EINVAL);
	assert_non_null(strstr(e.message, "REEVE_DIR is too long"));
	assert_non_null(strstr(e.message, "would take 108 bytes, and the limit is 107"));
	assert_non_null(strstr(e.message, "at most 98 bytes"));
}

static void a_home_too_long_for_a_socket_falls_back_to_tmp(void **state)
{
	_cleanup_(paths_done) struct paths p = { 0 };
	_cleanup_(freep) char *expected = NULL;
	char path[200];
	struct error e;

	(void)state;
	setenv("HOME", long_path(path, 90), 1);
	assert_int_equal(paths_resolve(&p, &e), 0);
	assert_true(asprintf(&expected, "/tmp/reeve-%u/api.sock", (unsigned)geteuid()) > 0);
	assert_string_equal(p.socket, expected);
	assert_true(p.fallback);
}

static void shared_file_systems_are_known_by_their_type(void **state)
{
	(void)state;
	assert_true(paths_is_network(0x6969));      /* NFS */
	assert_true(paths_is_network(0xff534d42));  /* CIFS */
	assert_true(paths_is_network(0x65735546));  /* FUSE */
	assert_false(paths_is_network(0xef53));     /* ext4 */
	assert_false(paths_is_network(0x01021994)); /* tmpfs */
	assert_false(paths_is_network(0x794c7630)); /* overlay */
}

static void without_home_the_password_file_is_asked(void **state)
{
	static const char passwd[] = "# comment\n"
				     "root:x:0:0:root:/root:/bin/sh\n"
				     "broken:x:7\n"
				     "odd:x:7:7::not/absolute:/bin/sh\n"
				     "\n"
				     "ten:x:10:0::/wrong:/bin/sh\n"
				     "one:x:1:0:One, Office:/home/one:/bin/sh\n"
				     "last:x:7:7::/home/last";
	char *home = NULL;

	(void)state;
	assert_int_equal(paths_passwd_home(passwd, 1, &home), 0);
	assert_string_equal(home, "/home/one");
	free(home);
	assert_int_equal(paths_passwd_home(passwd, 7, &home), 0);
	assert_string_equal(home, "/home/last");
	free(take(home));
	assert_int_equal(paths_passwd_home(passwd, 100, &home), -ENOENT);
	assert_int_equal(paths_passwd_home("", 0, &home), -ENOENT);
	assert_null(home);
}

static void the_directory_is_made_with_its_parents_for_the_owner_alone(void **state)
{
	_cleanup_(paths_done) struct paths p = { 0 };
	struct error e;

	setenv("XDG_STATE_HOME", *state, 1);
	assert_int_equal(paths_resolve(&p, &e), 0);
	assert_int_equal(paths_create(&p, &e), 0);
	assert_int_equal(mode_of(p.dir), 0700);
	chmod(p.dir, 0755);
	assert_int_equal(paths_create(&p, &e), 0);
	assert_int_equal(mode_of(p.dir), 0700);
}

/* The paths of a $REEVE_DIR (or, with `fallback`, of the directory in /tmp) named `name`. */
static struct paths paths_in(void **state, const char *name, bool fallback)
{
	struct paths p = { .chosen = !fallback, .fallback = fallback };

	assert_true(asprintf(&p.dir, "%s/%s", (char *)*state, name) > 0);
	return p;
}

static void a_chosen_directory_that_others_may_write_to_is_refused(void **state)
{
	_cleanup_(paths_done) struct paths p = paths_in(state, "open", false);
	struct error e;

	assert_int_equal(mkdir(p.dir, 0700), 0);
	chmod(p.dir, 0770);
	assert_int_equal(paths_create(&p, &e), -EPERM);
	assert_non_null(strstr(e.message, "chmod 700"));
	chmod(p.dir, 0702);
	assert_int_equal(paths_create(&p, &e), -EPERM);
	chmod(p.dir, 0755);
	assert_int_equal(paths_create(&p, &e), 0);
	assert_int_equal(mode_of(p.dir), 0755);
}

static void another_users_directory_is_refused(void **state)
{
	_cleanup_(paths_done) struct paths p = paths_in(state, "foreign", false);
	struct error e;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(p.dir, 0700), 0);
	assert_int_equal(chown(p.dir, 12345, 12345), 0);
	assert_int_equal(paths_create(&p, &e), -EPERM);
	assert_non_null(strstr(e.message, "belongs to user 12345"));
}

static void a_symbolic_link_in_tmp_is_refused_but_not_a_chosen_one(void **state)
{
	_cleanup_(paths_done) struct paths p = paths_in(state, "link", true);
	_cleanup_(paths_done) struct paths target = paths_in(state, "target", false);
	struct error e;

	assert_int_equal(mkdir(target.dir, 0700), 0);
	assert_int_equal(symlink(target.dir, p.dir), 0);
	assert_int_equal(paths_create(&p, &e), -EPERM);
	assert_non_null(strstr(e.message, "is not a directory"));
	p.fallback = false;
	p.chosen = true;
	assert_int_equal(paths_create(&p, &e), 0);
}

static void a_file_in_the_way_is_named(void **state)
{
	_cleanup_(paths_done) struct paths p = { .chosen = true, .dir = strdup("/dev/null/x") };
	struct error e;

	(void)state;
	assert_true(paths_create(&p, &e) < 0);
	assert_non_null(strstr(e.message, "/dev/null"));
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(reeve_dir_moves_everything),
		WITH_DIR(the_state_directory_comes_before_the_home),
		WITH_DIR(a_relative_directory_is_refused_by_name),
		WITH_DIR(a_reeve_dir_too_long_for_a_socket_names_limit_and_remedy),
		WITH_DIR(a_home_too_long_for_a_socket_falls_back_to_tmp),
		WITH_DIR(shared_file_systems_are_known_by_their_type),
		WITH_DIR(without_home_the_password_file_is_asked),
		WITH_DIR(the_directory_is_made_with_its_parents_for_the_owner_alone),
		WITH_DIR(a_chosen_directory_that_others_may_write_to_is_refused),
		WITH_DIR(another_users_directory_is_refused),
		WITH_DIR(a_symbolic_link_in_tmp_is_refused_but_not_a_chosen_one),
		WITH_DIR(a_file_in_the_way_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
