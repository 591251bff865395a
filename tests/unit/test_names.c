/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/spawn.h"
#include "moves.h"

static struct engine engine;
#define MANY 400

static struct session sessions[MANY];
static struct control_slot words[MANY];
static struct error error;
static char made[SESSION_NAME_MAX + 1];

static int setup(void **state _unused_)
{
	memset(&engine, 0, sizeof(engine));
	memset(sessions, 0, sizeof(sessions));
	memset((void *)words, 0, sizeof(words));
	return 0;
}

/* A live session of that name. */
static struct session *live(unsigned i, const char *name)
{
	struct session *s = &sessions[i];

	snprintf(s->id, sizeof(s->id), "pipe-%016x-%08x", i, i);
	s->engine = &engine;
	s->name = (char *)name;
	s->words = &words[i];
	lookup_add(s);
	return s;
}

static bool is_name(const char *name)
{
	int r;

	error = (struct error){ 0 };
	r = name_check(name, &error);
	if (r == 0)
		return true;
	assert_true(r < 0);
	assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "name"));
	return false;
}

static void ordinary_names_are_possible(void **state _unused_)
{
	static const char *const names[] = { "a",     "make", "make-2", "Web_1.0",
					     "0x",    "7zip", "pipe-1", "pty",
					     "pipe-", "1.5",  "a..b",   "pty-x-y" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!is_name(names[i]))
			fail_msg("%s: %s", names[i], error.message);
}

static void odd_names_are_not(void **state _unused_)
{
	static const char *const names[] = { "",      "-a",   ".hidden",  "_x",    "@last", "a b",
					     "a/b",   "a\n",  "\xc3\xa4", "a\xc3", "a:b",   "a=b",
					     "a\x7f", "a%20", "12",       "0",     "007" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (is_name(names[i]))
			fail_msg("\"%s\" was taken", names[i]);
}

static void a_name_has_up_to_64_characters(void **state _unused_)
{
	char name[SESSION_NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[SESSION_NAME_MAX] = 0;
	assert_true(is_name(name));
	name[SESSION_NAME_MAX] = 'n';
	name[SESSION_NAME_MAX + 1] = 0;
	assert_false(is_name(name));
}

static void what_looks_like_an_id_is_no_name(void **state _unused_)
{
	assert_false(is_name("pipe-0123456789abcdef-01234567"));
	assert_false(is_name("pty-ffffffffffffffff-ffffffff"));
	assert_true(is_name("pipe-0123456789abcdef-0123456"));
	assert_true(is_name("pipe-0123456789abcdef-012345678"));
	assert_true(is_name("pipe-0123456789abcdeF-01234567"));
	assert_true(is_name("xpipe-0123456789abcdef-01234567"));
	assert_true(is_name("pipe-0123456789abcde-01234567"));
}

static const char *make(const char *command)
{
	memset(made, 'x', sizeof(made));
	assert_int_equal(name_make(&engine, command, made), 0);
	assert_non_null(memchr(made, 0, sizeof(made)));
	assert_true(is_name(made));
	assert_null(session_by_name(&engine, made));
	return made;
}

static void a_name_is_made_from_the_command(void **state _unused_)
{
	assert_string_equal(make("make"), "make");
	assert_string_equal(make("/usr/bin/python3.11"), "python3.11");
	assert_string_equal(make("./run me.sh"), "runme.sh");
	assert_string_equal(make("-x-"), "x-");
	assert_string_equal(make("../..hidden"), "hidden");
}

static void a_command_without_a_usable_name_is_a_session(void **state _unused_)
{
	static const char *const commands[] = {
		"", "/", "///", "....", "42", "/bin/42", "\xff\xfe"
	};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		assert_string_equal(make(commands[i]), "session");
}

static void a_command_named_like_an_id_is_a_session(void **state _unused_)
{
	assert_string_equal(make("/bin/pipe-0123456789abcdef-01234567"), "session");
}

static void a_name_that_is_taken_gets_a_number(void **state _unused_)
{
	live(0, "make");
	assert_string_equal(make("make"), "make-2");
	live(1, "make-2");
	live(2, NULL);
	assert_string_equal(make("make"), "make-3");
	assert_string_equal(make("maker"), "maker");
}

static void however_many_there_are_each_has_its_own(void **state _unused_)
{
	static char names[MANY][SESSION_NAME_MAX + 1];

	for (unsigned i = 0; i < MANY; i++) {
		strcpy(names[i], make("make")); /* asserts that nobody has it */
		live(i, names[i]);
		/* Some of them end. */
		if (i % 3 == 0)
			word_store(&sessions[i / 2].words->exit_seen, 1);
	}
}

static void an_ended_session_gives_its_name_up(void **state _unused_)
{
	struct session *s = live(0, "make");

	assert_ptr_equal(session_by_name(&engine, "make"), s);
	word_store(&s->words->exit_seen, 1);
	assert_string_equal(make("make"), "make");
	s = live(1, "make");
	word_store(&s->words->spawn, SPAWN_FAILED);
	assert_string_equal(make("make"), "make");
}

static void a_long_command_makes_a_name_that_fits(void **state _unused_)
{
	char command[300], first[SESSION_NAME_MAX + 1];

	memset(command, 'c', sizeof(command));
	command[sizeof(command) - 1] = 0;
	strcpy(first, make(command));
	live(0, first);
	assert_string_not_equal(make(command), first);
}

static void whatever_the_command_its_name_is_possible(void **state _unused_)
{
	uint64_t seed = 4;
	char command[40];

	for (int i = 0; i < 20000; i++) {
		size_t n = random_below(&seed, sizeof(command));

		for (size_t k = 0; k < n; k++)
			command[k] = (char)(1 + random_below(&seed, 255));
		command[n] = 0;
		make(command);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_names_are_possible),
		cmocka_unit_test(odd_names_are_not),
		cmocka_unit_test(a_name_has_up_to_64_characters),
		cmocka_unit_test(what_looks_like_an_id_is_no_name),
		cmocka_unit_test_setup(a_name_is_made_from_the_command, setup),
		cmocka_unit_test_setup(a_command_without_a_usable_name_is_a_session, setup),
		cmocka_unit_test_setup(a_command_named_like_an_id_is_a_session, setup),
		cmocka_unit_test_setup(a_name_that_is_taken_gets_a_number, setup),
		cmocka_unit_test_setup(however_many_there_are_each_has_its_own, setup),
		cmocka_unit_test_setup(an_ended_session_gives_its_name_up, setup),
		cmocka_unit_test_setup(a_long_command_makes_a_name_that_fits, setup),
		cmocka_unit_test_setup(whatever_the_command_its_name_is_possible, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
