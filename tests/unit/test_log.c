/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A fixture: a pipe that the log goes to. */
static int make_pipe(void **state)
{
	int *ends = calloc(2, sizeof(int));

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fd_set_nonblock(ends[0], true), 0);
	log_set(ends[1], LEVEL_INFO, "prog");
	*state = ends;
	return 0;
}

static int drop_pipe(void **state)
{
	int *ends = *state;

	log_set(-1, LEVEL_OFF, "prog");
	fd_close(ends[0]);
	fd_close(ends[1]);
	free(ends);
	return 0;
}

/* What is in the pipe now, as text. */
static const char *logged(void **state, char *buf, size_t size)
{
	ssize_t n = read(((int *)*state)[0], buf, size - 1);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void a_line_has_time_program_pid_and_level(void **state)
{
	char line[5000], expected[200];
	uint64_t time;

	errno = EDOM;
	log_warn("disk %s is %d%% full", "a", 90);
	assert_int_equal(errno, EDOM);
	logged(state, line, sizeof(line));
	snprintf(expected, sizeof(expected), " prog[%d] warn: disk a is 90%% full\n",
		 (int)getpid());
	assert_string_equal(line + 24, expected);
	line[24] = '\0';
	assert_int_equal(clock_parse(line, &time), 0);
	assert_in_range(time, clock_realtime_ms() - 60000, clock_realtime_ms());
}

static void levels_below_the_wanted_one_are_silent(void **state)
{
	char text[5000];

	log_debug("quiet");
	assert_string_equal(logged(state, text, sizeof(text)), "");
	log_info("one");
	log_error("two");
	logged(state, text, sizeof(text));
	assert_non_null(strstr(text, " info: one\n"));
	assert_non_null(strstr(text, " error: two\n"));
}

static void the_level_comes_from_the_environment(void **state)
{
	(void)state;
	unsetenv("REEVE_LOG");
	assert_int_equal(log_level_from_env(LEVEL_WARN), LEVEL_WARN);
	setenv("REEVE_LOG", "debug", 1);
	assert_int_equal(log_level_from_env(LEVEL_WARN), LEVEL_DEBUG);
	setenv("REEVE_LOG", "off", 1);
	assert_int_equal(log_level_from_env(LEVEL_WARN), LEVEL_OFF);
	setenv("REEVE_LOG", "loud", 1);
	assert_int_equal(log_level_from_env(LEVEL_WARN), LEVEL_WARN);
}

static void a_message_stays_on_its_line(void **state)
{
	char text[5000];

	log_info("a\nb\x1b[0m\xff");
	logged(state, text, sizeof(text));
	assert_non_null(strstr(text, " info: a\\nb\\x1b[0m\\xff\n"));
}

static void the_longest_line_still_ends(void **state)
{
	char text[8192], message[6000];

	memset(message, '\n', sizeof(message));
	message[sizeof(message) - 1] = '\0';
	/* A newline takes two bytes: of one more before them, the last byte of the line is used. */
	for (int extra = 0; extra < 2; extra++) {
		log_info("%.*s%s", extra, "x", message);
		logged(state, text, sizeof(text));
		assert_in_range(strlen(text), 4094, 4096);
		assert_int_equal(text[strlen(text) - 1], '\n');
		assert_null(memchr(text, '\n', strlen(text) - 1));
	}
}

static void a_full_pipe_costs_lines_and_their_number_is_told(void **state)
{
	int *ends = *state;
	char text[8192];
	unsigned lines = 0;

	/* Of a blocking pipe: the log must not wait for room. */
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
	log_info("first");
	for (lines = 0; lines < 10; lines++)
		log_info("%1000d", lines);
	for (unsigned left = 10; left > 0; left--)
		log_info("lost");
	while (*logged(state, text, sizeof(text)))
		;
	log_info("again");
	logged(state, text, sizeof(text));
	assert_non_null(strstr(text, "lines lost before) again\n"));
	log_info("more");
	logged(state, text, sizeof(text));
	assert_non_null(strstr(text, " info: more\n"));
}

static void without_a_destination_nothing_happens(void **state)
{
	(void)state;
	log_set(-1, LEVEL_DEBUG, "prog");
	log_error("nobody hears");
}

#define WITH_PIPE(f) cmocka_unit_test_setup_teardown(f, make_pipe, drop_pipe)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PIPE(a_line_has_time_program_pid_and_level),
		WITH_PIPE(levels_below_the_wanted_one_are_silent),
		WITH_PIPE(the_level_comes_from_the_environment),
		WITH_PIPE(a_message_stays_on_its_line),
		WITH_PIPE(the_longest_line_still_ends),
		WITH_PIPE(a_full_pipe_costs_lines_and_their_number_is_told),
		WITH_PIPE(without_a_destination_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
