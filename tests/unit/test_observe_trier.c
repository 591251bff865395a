/* SPDX-License-Identifier: Apache-2.0 */
/* A probe that crashes, hangs or lies is told as such, and leaves nothing behind. */
#include "base/fd.h"
#include "engine/observe_trier.h"
#include "processes.h"
#include <stdlib.h>
#include <sys/stat.h>

/* A program that stands for the probe. */
struct stand_in {
	char directory[64], program[96], note[96];
	struct trier trier;
	struct backend_support by[REEVE_CATEGORIES];
};

static void make(struct stand_in *s, const char *script)
{
	FILE *f;

	strcpy(s->directory, "/tmp/reeve-trier-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	snprintf(s->program, sizeof(s->program), "%s/probe", s->directory);
	snprintf(s->note, sizeof(s->note), "%s/note", s->directory);
	f = fopen(s->program, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\nnote=%s\n%s\n", s->note, script);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(s->program, 0755), 0);
	trier_init(&s->trier, -1);
	s->trier.aide.program = s->program;
	s->trier.patience_ms = PATIENCE_MS;
}

static const char *reason(struct stand_in *s)
{
	memset(s->by, 0, sizeof(s->by));
	trier_probe(&s->trier, &backend_perf, REEVE_LAUNCHED_TREE, s->by);
	assert_int_equal(s->by[REEVE_PROCESS].support, REEVE_UNAVAILABLE);
	return s->by[REEVE_PROCESS].reason;
}

static void unmake(struct stand_in *s)
{
	char command[128];

	assert_int_equal(s->trier.aide.pid, 0); /* reaped, whatever it did */
	assert_int_equal(s->trier.aide.sock, -1);
	snprintf(command, sizeof(command), "rm -rf %s", s->directory);
	assert_int_equal(system(command), 0);
}

static void a_probe_that_crashes_is_told_with_its_signal(void **state _unused_)
{
	struct stand_in s;

	make(&s, "kill -SEGV $$");
	assert_non_null(strstr(reason(&s), "the probe crashed: SIGSEGV"));
	unmake(&s);
}

static void a_probe_that_ends_is_told_with_its_status(void **state _unused_)
{
	struct stand_in s;

	make(&s, "exit 7");
	assert_non_null(strstr(reason(&s), "the probe ended with exit code 7"));
	unmake(&s);
}

static void a_probe_that_cannot_be_started_is_told(void **state _unused_)
{
	struct stand_in s;

	make(&s, "");
	assert_int_equal(chmod(s.program, 0), 0);
	s.trier.aide.program = "/nowhere/reeved";
	assert_non_null(strstr(reason(&s), "start a probe, \"/nowhere/reeved --probe\": No such"));
	unmake(&s);
}

static void a_probe_that_hangs_is_ended_with_all_that_it_began(void **state _unused_)
{
	struct stand_in s;
	char *text = NULL;
	pid_t began;

	/* It notes both processes: itself, and what it began. */
	make(&s, "exec setsid sh -c 'sleep 1000 & echo $! > '$note'.new; mv '$note'.new '$note'; "
		 "wait'");
	s.trier.patience_ms = 0;
	/* Once what it began is there, its time is up. */
	assert_int_equal(aide_start(&s.trier.aide, NULL), 0);
	wait_until(access(s.note, F_OK) == 0);
	assert_non_null(strstr(reason(&s), "the probe took more than 0 s and was killed"));
	assert_int_equal(fd_read_file(s.note, 64, &text, NULL), 0);
	began = atoi(text);
	free(text);
	assert_true(began > 1);
	wait_until(strchr("-ZX", state_of(began)) != NULL);
	unmake(&s);
}

static void a_probe_that_lies_is_not_believed(void **state _unused_)
{
	struct stand_in s;

	make(&s, "echo yes >&0; sleep 1000");
	assert_non_null(strstr(reason(&s), "answered what cannot be"));
	unmake(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_that_crashes_is_told_with_its_signal),
		cmocka_unit_test(a_probe_that_ends_is_told_with_its_status),
		cmocka_unit_test(a_probe_that_cannot_be_started_is_told),
		cmocka_unit_test(a_probe_that_hangs_is_ended_with_all_that_it_began),
		cmocka_unit_test(a_probe_that_lies_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
