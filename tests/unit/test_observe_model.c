/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "observe/capability.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = { "lifecycle", "file", "network", "process" };

static void categories_have_their_order_names_and_numbers(void **state _unused_)
{
	assert_int_equal(REEVE_CATEGORIES, 4);
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++) {
		enum reeve_category found = (enum reeve_category)99;

		assert_string_equal(reeve_category_name((enum reeve_category)i), names[i]);
		assert_int_equal(reeve_category_parse(names[i], &found), 0);
		assert_int_equal(found, i);
	}
	assert_int_equal(REEVE_LIFECYCLE, 0);
	assert_int_equal(REEVE_FILE, 1);
	assert_int_equal(REEVE_NETWORK, 2);
	assert_int_equal(REEVE_PROCESS, 3);
}

static void a_value_that_is_none_has_no_name(void **state _unused_)
{
	enum reeve_category found = REEVE_FILE;

	assert_null(reeve_category_name((enum reeve_category)4));
	assert_null(reeve_category_name((enum reeve_category) - 1));
	assert_null(reeve_support_name((enum reeve_support)3));
	assert_null(reeve_scope_name((enum reeve_scope)2));
	assert_null(reeve_kind_name(REEVE_KIND_NONE));
	assert_null(reeve_kind_name((enum reeve_kind)(REEVE_URING + 1)));
	assert_int_equal(reeve_category_parse("files", &found), -EINVAL);
	assert_int_equal(reeve_category_parse("", &found), -EINVAL);
	assert_int_equal(found, REEVE_FILE);
}

static void support_scope_and_kinds_have_names(void **state _unused_)
{
	assert_string_equal(reeve_support_name(REEVE_SUPPORTED), "supported");
	assert_string_equal(reeve_support_name(REEVE_PARTIAL), "partial");
	assert_string_equal(reeve_support_name(REEVE_UNAVAILABLE), "unavailable");
	assert_string_equal(reeve_scope_name(REEVE_LAUNCHED_TREE), "launched-tree");
	assert_string_equal(reeve_scope_name(REEVE_SYSTEM_WIDE), "system-wide");
	for (int kind = REEVE_STARTED; kind <= REEVE_URING; kind++)
		assert_non_null(reeve_kind_name((enum reeve_kind)kind));
	assert_string_equal(reeve_kind_name(REEVE_STARTED), "started");
	assert_string_equal(reeve_kind_name(REEVE_LISTENING), "listening");
}

/* --- the matrix ------------------------------------------------------------------------------ */

static struct reeve_capabilities *sample(void)
{
	struct reeve_capabilities *c = capabilities_new();

	assert_non_null(c);
	capabilities_set(c, REEVE_PROCESS, REEVE_PARTIAL, "subreaper-proc-poll",
			 "misses short ones");
	capabilities_set(c, REEVE_LIFECYCLE, REEVE_SUPPORTED, "portable-lifecycle",
			 "started/exited emitted from the spawn and reap path");
	capabilities_set(c, REEVE_FILE, REEVE_SUPPORTED, "ebpf", "all of it");
	return c;
}

static void the_matrix_holds_each_category_once_in_order(void **state _unused_)
{
	struct reeve_capabilities *c = sample();
	size_t n = 0;
	const struct reeve_capability *entries = reeve_capabilities_entries(c, &n);

	assert_int_equal(n, REEVE_CATEGORIES);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(entries[i].category, i);
		assert_ptr_equal(reeve_capabilities_get(c, (enum reeve_category)i), &entries[i]);
	}
	assert_null(reeve_capabilities_free(c));
}

static void a_category_is_asked_for_by_itself(void **state _unused_)
{
	struct reeve_capabilities *c = sample();
	const struct reeve_capability *process = reeve_capabilities_get(c, REEVE_PROCESS);

	assert_int_equal(reeve_capabilities_support(c, REEVE_FILE), REEVE_SUPPORTED);
	assert_int_equal(reeve_capabilities_support(c, REEVE_NETWORK), REEVE_UNAVAILABLE);
	assert_true(reeve_capabilities_is_supported(c, REEVE_FILE));
	assert_false(reeve_capabilities_is_supported(c, REEVE_PROCESS));
	assert_false(reeve_capabilities_is_supported(c, REEVE_NETWORK));
	assert_int_equal(process->support, REEVE_PARTIAL);
	assert_string_equal(process->backend, "subreaper-proc-poll");
	assert_string_equal(process->reason, "misses short ones");
	reeve_capabilities_free(c);
}

static void an_unknown_category_is_unavailable(void **state _unused_)
{
	struct reeve_capabilities *c = sample();

	assert_null(reeve_capabilities_get(c, (enum reeve_category)4));
	assert_int_equal(reeve_capabilities_support(c, (enum reeve_category)4), REEVE_UNAVAILABLE);
	assert_false(reeve_capabilities_is_supported(c, (enum reeve_category) - 1));
	reeve_capabilities_free(c);
}

static void a_row_has_category_support_backend_and_reason(void **state _unused_)
{
	struct reeve_capabilities *c = sample();
	struct reeve_capability_row rows[REEVE_CATEGORIES + 1] = { 0 };

	assert_int_equal(reeve_capabilities_to_table_rows(c, rows, 1), REEVE_CATEGORIES);
	assert_null(rows[1].cells[0]);
	assert_int_equal(reeve_capabilities_to_table_rows(c, rows, ARRAY_SIZE(rows)),
			 REEVE_CATEGORIES);
	assert_string_equal(rows[3].cells[0], "process");
	assert_string_equal(rows[3].cells[1], "partial");
	assert_string_equal(rows[3].cells[2], "subreaper-proc-poll");
	assert_string_equal(rows[3].cells[3], "misses short ones");
	assert_null(rows[REEVE_CATEGORIES].cells[0]);
	reeve_capabilities_free(c);
}

static void the_summary_pads_its_columns_and_ends_with_the_reason(void **state _unused_)
{
	static const char expected[] =
		"observer capabilities:\n"
		"  lifecycle  supported    portable-lifecycle   started/exited emitted from the "
		"spawn and reap path\n"
		"  file       supported    ebpf                 all of it\n"
		"  network    unavailable  none                 not negotiated\n"
		"  process    partial      subreaper-proc-poll  misses short ones\n";
	struct reeve_capabilities *c = sample();

	for (int i = 0; i < 2; i++) {
		_cleanup_(freep) char *text = NULL;

		assert_int_equal(reeve_capabilities_render_summary(c, &text), 0);
		assert_string_equal(text, expected);
	}
	reeve_capabilities_free(c);
}

static void a_reason_that_is_too_long_is_cut_between_characters(void **state _unused_)
{
	struct reeve_capabilities *c = sample();
	char reason[2 * REASON_MAX];

	for (size_t i = 0; i < sizeof(reason) - 2; i += 2)
		memcpy(reason + i, "\xc3\xa9", 2);
	memcpy(reason + sizeof(reason) - 2, "x", 2);
	capabilities_set(c, REEVE_FILE, REEVE_PARTIAL, "ebpf", reason);
	assert_int_equal(strlen(reeve_capabilities_get(c, REEVE_FILE)->reason), REASON_MAX - 2);
	reeve_capabilities_free(c);
}

/* --- configuration --------------------------------------------------------------------------- */

static void a_configuration_is_off_by_default(void **state _unused_)
{
	struct reeve_observer_config zero = { 0 }, off = reeve_observer_config_off();

	assert_true(reeve_observer_config_is_off(&zero));
	assert_true(reeve_observer_config_is_off(&off));
	assert_false(reeve_observer_config_has(&off, REEVE_LIFECYCLE));
}

static void lifecycle_asks_for_exactly_that(void **state _unused_)
{
	struct reeve_observer_config config = reeve_observer_config_lifecycle();

	assert_false(reeve_observer_config_is_off(&config));
	assert_true(reeve_observer_config_has(&config, REEVE_LIFECYCLE));
	for (unsigned i = 1; i < REEVE_CATEGORIES; i++)
		assert_false(reeve_observer_config_has(&config, (enum reeve_category)i));
}

static void a_set_of_categories_keeps_the_order_it_was_given_in(void **state _unused_)
{
	static const enum reeve_category set[] = { REEVE_PROCESS, REEVE_FILE, REEVE_PROCESS,
						   REEVE_LIFECYCLE, REEVE_FILE };
	struct reeve_observer_config config;

	assert_int_equal(reeve_observer_config_with_categories(set, ARRAY_SIZE(set), &config), 0);
	assert_int_equal(config.n, 3);
	assert_int_equal(config.categories[0], REEVE_PROCESS);
	assert_int_equal(config.categories[1], REEVE_FILE);
	assert_int_equal(config.categories[2], REEVE_LIFECYCLE);
	assert_false(reeve_observer_config_has(&config, REEVE_NETWORK));
}

static void a_set_with_a_category_that_is_none_is_refused(void **state _unused_)
{
	static const enum reeve_category set[] = { REEVE_FILE, (enum reeve_category)7 };
	struct reeve_observer_config config = reeve_observer_config_lifecycle();

	assert_int_equal(reeve_observer_config_with_categories(set, 2, &config), -EINVAL);
	assert_int_equal(config.n, 1);
	assert_int_equal(reeve_observer_config_with_categories(NULL, 0, &config), 0);
	assert_true(reeve_observer_config_is_off(&config));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(categories_have_their_order_names_and_numbers),
		cmocka_unit_test(a_value_that_is_none_has_no_name),
		cmocka_unit_test(support_scope_and_kinds_have_names),
		cmocka_unit_test(the_matrix_holds_each_category_once_in_order),
		cmocka_unit_test(a_category_is_asked_for_by_itself),
		cmocka_unit_test(an_unknown_category_is_unavailable),
		cmocka_unit_test(a_row_has_category_support_backend_and_reason),
		cmocka_unit_test(the_summary_pads_its_columns_and_ends_with_the_reason),
		cmocka_unit_test(a_reason_that_is_too_long_is_cut_between_characters),
		cmocka_unit_test(a_configuration_is_off_by_default),
		cmocka_unit_test(lifecycle_asks_for_exactly_that),
		cmocka_unit_test(a_set_of_categories_keeps_the_order_it_was_given_in),
		cmocka_unit_test(a_set_with_a_category_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
