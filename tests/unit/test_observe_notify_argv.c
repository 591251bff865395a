/* SPDX-License-Identifier: Apache-2.0 */
/* The backend seccomp-user-notify: the arguments of an execve, wherever they stand in the memory of
 * who makes it. */
#include "base/cleanup.h"
#include "notify_observed.h"
#include <errno.h>
#include <sys/mman.h>

#define PAGE 4096U
#define MANY 31

/* Pages of which the last one cannot be read. Returns its beginning. */
static char *edge(void)
{
	char *pages = mmap(NULL, 4 * (size_t)PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(pages != MAP_FAILED && munmap(pages + 3 * (size_t)PAGE, PAGE) == 0);
	return pages + 3 * (size_t)PAGE;
}

static void execute(const char *path, char *const argv[])
{
	static char *const nothing[] = { NULL };

	need(execve(path, argv, nothing) < 0 && (errno == ENOENT || errno == EFAULT));
}

static void assert_told(const struct observed *o, const char *path, const char *const expected[])
{
	const struct reeve_event *e = observed_path(o, REEVE_EXECUTED, path);
	size_t at = 0;

	assert_non_null(e);
	for (; *expected; expected++) {
		assert_true(at < e->argv_size);
		assert_string_equal(e->argv + at, *expected);
		at += strlen(*expected) + 1;
	}
	assert_int_equal(at, e->argv_size);
}

/* One that is told before has as many as are looked at together. */
static void end_a_list_where_nothing_is(void *userdata _unused_)
{
	static char texts[MANY][16], *many[MANY + 1];
	char **list = (char **)(void *)edge();

	for (int i = 0; i < MANY; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "many-%d", i);
		many[i] = texts[i];
	}
	list[-1] = many[1];
	list[-2] = many[0];
	execute("/nowhere/many", many);
	execute("/nowhere/cut-off", list - 2);
	execute("/nowhere/many-again", many);
	execute("/nowhere/cut-off-again", list - 2);
}

static void of_a_list_that_cannot_be_read_to_its_end_the_beginning_is_told(void **state _unused_)
{
	static const char *const expected[] = { "many-0", "many-1", NULL };
	struct observed o;

	observe(&o, end_a_list_where_nothing_is, NULL);
	assert_told(&o, "/nowhere/cut-off", expected);
	assert_told(&o, "/nowhere/cut-off-again", expected);
	observed_done(&o);
}

/* Across pages, into one another, backwards, the path among them, and up to where nothing is. */
static void place_them_oddly(void *userdata _unused_)
{
	char *end = edge(), *across = end - PAGE - 3, *path = end - 2 * (size_t)PAGE - 6;
	char *list[] = { path, across, across + 4, across, end - 1, end - 5, path, NULL };

	strcpy(across, "across a page");
	strcpy(path, "/nowhere/odd");
	memcpy(end - 5, "last", 5);
	execute(path, list);
}

static void arguments_are_told_wherever_they_stand(void **state _unused_)
{
	static const char *const expected[] = {
		"/nowhere/odd", "across a page", "ss a page", "across a page", "",
		"last",         "/nowhere/odd",  NULL
	};
	struct observed o;

	observe(&o, place_them_oddly, NULL);
	assert_told(&o, "/nowhere/odd", expected);
	observed_done(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_list_that_cannot_be_read_to_its_end_the_beginning_is_told),
		cmocka_unit_test(arguments_are_told_wherever_they_stand),
	};

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
