/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "engine/settings.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY_MS (24ULL * 60 * 60 * 1000)

static unsigned read_text(struct settings *s, const char *text)
{
	*s = settings_default;
	return settings_read(s, "config", text, strlen(text));
}

static void without_a_word_the_defaults_hold(void **state)
{
	struct settings s;

	(void)state;
	assert_int_equal(read_text(&s, ""), 0);
	assert_int_equal(s.keep_for_ms, 7 * DAY_MS);
	assert_int_equal(s.keep_count, 1000);
	assert_int_equal(s.keep_at_least_ms, 600000);
}

static void each_setting_has_its_value(void **state)
{
	struct settings s;

	(void)state;
	assert_int_equal(read_text(&s, "[sessions]\nkeep-for = 1d\nkeep-count=3\nkeep-at-least=5s"),
			 0);
	assert_int_equal(s.keep_for_ms, DAY_MS);
	assert_int_equal(s.keep_count, 3);
	assert_int_equal(s.keep_at_least_ms, 5000);
}

static void what_is_wrong_is_counted_and_changes_nothing(void **state)
{
	static const char *const wrong[] = {
		"keep-for = 1d",
		"[sessions]\nkeep-for = 5",
		"[sessions]\nkeep-for = ",
		"[sessions]\nkeep-count = many",
		"[sessions]\nkeep-count = -1",
		"[sessions]\nkeep-count = 1000000",
		"[sessions]\nkeep-forever = 1d",
		"[session]\nkeep-for = 1d",
		"[sessions]\nkeep-for",
	};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(read_text(&s, wrong[i]), 1);
		assert_memory_equal(&s, &settings_default, sizeof(s));
	}
	assert_int_equal(read_text(&s, "[sessions]\nkeep-for=x\nkeep-count=7\n"), 1);
	assert_int_equal(s.keep_count, 7);
}

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void the_file_is_where_reeve_dir_or_the_configuration_home_say(void **state)
{
	char dir[] = "/tmp/reeve-settings-XXXXXX", path[128];
	struct settings s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	unsetenv("REEVE_DIR");
	setenv("XDG_CONFIG_HOME", dir, 1);
	settings_load(&s);
	assert_memory_equal(&s, &settings_default, sizeof(s));

	snprintf(path, sizeof(path), "%s/reeve", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/config");
	put_file(path, "[sessions]\nkeep-count = 1\n");
	settings_load(&s);
	assert_int_equal(s.keep_count, 1);
	assert_int_equal(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);

	setenv("REEVE_DIR", dir, 1);
	snprintf(path, sizeof(path), "%s/config", dir);
	put_file(path, "[sessions]\nkeep-count = 2\n");
	settings_load(&s);
	assert_int_equal(s.keep_count, 2);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_word_the_defaults_hold),
		cmocka_unit_test(each_setting_has_its_value),
		cmocka_unit_test(what_is_wrong_is_counted_and_changes_nothing),
		cmocka_unit_test(the_file_is_where_reeve_dir_or_the_configuration_home_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
