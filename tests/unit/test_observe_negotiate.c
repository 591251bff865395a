/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "observe/observation.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ALL 0xfU

/* Two backends that say what the test wants, the better one first. */
static struct {
	enum reeve_support best, second;
	unsigned probes_best, probes_second;
	enum reeve_scope scope;
	int cgroup_dir;
	unsigned started, stopped;
} script;

#define FILES (1U << REEVE_FILE)
#define NETS  (1U << REEVE_NETWORK)

static void probe_best(enum reeve_scope scope, int cgroup_dir,
		       struct backend_support ret[REEVE_CATEGORIES])
{
	script.probes_best++;
	script.scope = scope;
	script.cgroup_dir = cgroup_dir;
	support_set(ret, FILES | NETS, script.best, "best says %s",
		    reeve_support_name(script.best));
}

static void probe_second(enum reeve_scope scope _unused_, int cgroup_dir _unused_,
			 struct backend_support ret[REEVE_CATEGORIES])
{
	script.probes_second++;
	support_set(ret, FILES, script.second, "second says %s", reeve_support_name(script.second));
}

static int start(struct backend_run *run, struct error *e)
{
	if (run->target.mark != 0)
		return error_set(e, ERROR_UNAVAILABLE, "does not start");
	assert_int_equal(run->target.categories, FILES | NETS);
	script.started++;
	return 0;
}

static void stop(struct backend_run *run _unused_)
{
	script.stopped++;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct reeve_event e;

	event_init(&e, REEVE_FILE, REEVE_OPENED, n->pid);
	run_event(run, &e, NULL);
	run_missed(run, REEVE_FILE, 5);
	run_missed(run, REEVE_FILE, 0);
	run_missed(run, REEVE_PROCESS, 1); /* not asked for */
	e.category = REEVE_PROCESS;
	run_event(run, &e, NULL);
}

static const struct backend best = { .name = "best",
				     .categories = FILES | NETS,
				     .probe = probe_best,
				     .start = start,
				     .stop = stop,
				     .note = note };
static const struct backend second = {
	.name = "second", .categories = FILES, .probe = probe_second, .start = start
};
static const struct backend asked = { .name = "asked",
				      .categories = FILES,
				      .on_request = true,
				      .probe = probe_second,
				      .start = start };
static const struct backend *const ladder[] = { &backend_portable_lifecycle, &asked, &best, &second,
						NULL };

static struct prober *prober(enum reeve_support one, enum reeve_support two)
{
	struct prober *p = NULL;

	memset(&script, 0, sizeof(script));
	script.best = one;
	script.second = two;
	assert_int_equal(prober_new(&p, ladder, 42), 0);
	return p;
}

static void the_first_that_supports_a_category_wins(void **state _unused_)
{
	struct prober *p = prober(REEVE_SUPPORTED, REEVE_SUPPORTED);
	struct choice c[REEVE_CATEGORIES];

	assert_int_equal(negotiate(p, REEVE_SYSTEM_WIDE, ALL, NULL, c, NULL), 0);
	assert_ptr_equal(c[REEVE_FILE].backend, &best);
	assert_int_equal(c[REEVE_FILE].support, REEVE_SUPPORTED);
	assert_string_equal(c[REEVE_FILE].reason, "best says supported");
	assert_int_equal(script.probes_second, 0);
	assert_int_equal(script.scope, REEVE_SYSTEM_WIDE);
	assert_int_equal(script.cgroup_dir, 42);
	assert_null(prober_free(p));
}

static void whole_support_further_down_is_better_than_partial(void **state _unused_)
{
	struct prober *p = prober(REEVE_PARTIAL, REEVE_SUPPORTED);
	struct choice c[REEVE_CATEGORIES];

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, NULL, c, NULL), 0);
	assert_ptr_equal(c[REEVE_FILE].backend, &second);
	assert_ptr_equal(c[REEVE_NETWORK].backend, &best);
	assert_int_equal(c[REEVE_NETWORK].support, REEVE_PARTIAL);
	prober_free(p);
}

static void a_partial_choice_says_what_would_be_better_and_why_it_is_not(void **state _unused_)
{
	struct prober *p = prober(REEVE_UNAVAILABLE, REEVE_PARTIAL);
	struct choice c[REEVE_CATEGORIES];

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, NULL, c, NULL), 0);
	assert_ptr_equal(c[REEVE_FILE].backend, &second);
	assert_string_equal(c[REEVE_FILE].reason,
			    "second says partial; best: best says unavailable");
	assert_null(c[REEVE_NETWORK].backend);
	assert_int_equal(c[REEVE_NETWORK].support, REEVE_UNAVAILABLE);
	assert_string_equal(c[REEVE_NETWORK].reason, "best: best says unavailable");
	prober_free(p);
}

static void what_no_backend_sees_is_unavailable_with_a_reason(void **state _unused_)
{
	struct prober *p = prober(REEVE_SUPPORTED, REEVE_SUPPORTED);
	struct choice c[REEVE_CATEGORIES];
	struct reeve_capabilities *matrix;

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, NULL, c, NULL), 0);
	matrix = capabilities_of(c);
	assert_int_equal(reeve_capabilities_support(matrix, REEVE_PROCESS), REEVE_UNAVAILABLE);
	assert_string_equal(reeve_capabilities_get(matrix, REEVE_PROCESS)->backend, "none");
	assert_string_equal(reeve_capabilities_get(matrix, REEVE_PROCESS)->reason,
			    "no backend of this build sees it");
	assert_string_equal(reeve_capabilities_get(matrix, REEVE_FILE)->backend, "best");
	reeve_capabilities_free(matrix);
	prober_free(p);
}

static void each_backend_is_probed_once_a_scope(void **state _unused_)
{
	struct prober *p = prober(REEVE_PARTIAL, REEVE_PARTIAL);
	struct choice c[REEVE_CATEGORIES];

	for (int i = 0; i < 3; i++)
		assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, NULL, c, NULL), 0);
	assert_int_equal(script.probes_best, 1);
	assert_int_equal(script.probes_second, 1);
	assert_int_equal(negotiate(p, REEVE_SYSTEM_WIDE, ALL, NULL, c, NULL), 0);
	assert_int_equal(script.probes_best, 2);
	prober_free(p);
}

static void nothing_is_probed_for_what_was_not_asked(void **state _unused_)
{
	struct prober *p = prober(REEVE_SUPPORTED, REEVE_SUPPORTED);
	struct choice c[REEVE_CATEGORIES];

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, 1U << REEVE_LIFECYCLE, NULL, c, NULL),
			 0);
	assert_ptr_equal(c[REEVE_LIFECYCLE].backend, &backend_portable_lifecycle);
	assert_null(c[REEVE_FILE].backend);
	assert_int_equal(script.probes_best + script.probes_second, 0);
	prober_free(p);
}

static void a_named_backend_is_taken_whatever_it_says(void **state _unused_)
{
	struct prober *p = prober(REEVE_SUPPORTED, REEVE_UNAVAILABLE);
	const char *forced[REEVE_CATEGORIES] = { [REEVE_FILE] = "second" };
	struct choice c[REEVE_CATEGORIES];

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, forced, c, NULL), 0);
	assert_ptr_equal(c[REEVE_FILE].backend, &second);
	assert_int_equal(c[REEVE_FILE].support, REEVE_UNAVAILABLE);
	assert_string_equal(c[REEVE_FILE].reason, "second says unavailable");
	assert_ptr_equal(c[REEVE_NETWORK].backend, &best);
	prober_free(p);
}

static void one_that_must_be_asked_for_is_taken_only_then(void **state _unused_)
{
	struct prober *p = prober(REEVE_UNAVAILABLE, REEVE_SUPPORTED);
	const char *forced[REEVE_CATEGORIES] = { [REEVE_FILE] = "asked" };
	struct choice c[REEVE_CATEGORIES];

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, NULL, c, NULL), 0);
	assert_ptr_equal(c[REEVE_FILE].backend, &second);
	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, forced, c, NULL), 0);
	assert_ptr_equal(c[REEVE_FILE].backend, &asked);
	prober_free(p);
}

static void a_name_that_cannot_serve_is_refused(void **state _unused_)
{
	struct prober *p = prober(REEVE_SUPPORTED, REEVE_SUPPORTED);
	const char *unknown[REEVE_CATEGORIES] = { [REEVE_FILE] = "dtrace" };
	const char *wrong[REEVE_CATEGORIES] = { [REEVE_NETWORK] = "second" };
	struct choice c[REEVE_CATEGORIES] = { 0 };
	struct error e;

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, unknown, c, &e), -EINVAL);
	assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.message, "dtrace"));
	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, wrong, c, &e), -EINVAL);
	assert_string_equal(e.message, "backend second does not see network");
	assert_int_equal(negotiate(p, (enum reeve_scope)9, ALL, NULL, c, &e), -EINVAL);
	assert_null(c[REEVE_FILE].backend);
	prober_free(p);
}

static void lifecycle_is_always_supported(void **state _unused_)
{
	for (unsigned scope = 0; scope < 2; scope++) {
		struct prober *p;
		struct choice c[REEVE_CATEGORIES];

		assert_int_equal(prober_new(&p, backends, -1), 0);
		assert_int_equal(
			negotiate(p, (enum reeve_scope)scope, 1U << REEVE_LIFECYCLE, NULL, c, NULL),
			0);
		assert_int_equal(c[REEVE_LIFECYCLE].support, REEVE_SUPPORTED);
		assert_string_equal(c[REEVE_LIFECYCLE].backend->name, "portable-lifecycle");
		assert_string_equal(c[REEVE_LIFECYCLE].reason,
				    "started/exited emitted from the spawn and reap path");
		prober_free(p);
	}
}

static void the_matrix_of_this_machine_is_complete(void **state _unused_)
{
	struct reeve_capabilities *c = NULL;
	const struct reeve_capability *entries;
	size_t n;

	assert_int_equal(reeve_capabilities_negotiate((enum reeve_scope)2, &c), -EINVAL);
	assert_int_equal(reeve_capabilities_negotiate(REEVE_LAUNCHED_TREE, &c), 0);
	entries = reeve_capabilities_entries(c, &n);
	assert_int_equal(n, REEVE_CATEGORIES);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(entries[i].category, i);
		assert_true(entries[i].reason[0] != '\0');
		assert_null(strchr(entries[i].reason, '\n'));
		assert_true(strcmp(entries[i].backend, "none") == 0 ||
			    backend_find(entries[i].backend));
	}
	reeve_capabilities_free(c);
}

/* --- observations ---------------------------------------------------------------------------- */

static uint64_t seqs[8], missed;
static unsigned n_seqs;

static void on_event(void *userdata _unused_, struct reeve_event *e,
		     const struct backend_origin *origin)
{
	assert_int_equal(e->category, REEVE_FILE);
	assert_string_equal(e->source, "best");
	assert_int_equal(origin->ring, BACKEND_RINGS);
	seqs[n_seqs++] = e->seq;
}

static void on_missed(void *userdata _unused_, enum reeve_category category, uint64_t n)
{
	assert_int_equal(category, REEVE_FILE);
	missed += n;
}

static void one_run_serves_all_categories_of_its_backend(void **state _unused_)
{
	struct prober *p = prober(REEVE_SUPPORTED, REEVE_SUPPORTED);
	struct observation_config config = { .sink = { on_event, on_missed, NULL },
					     .seq = { [REEVE_FILE] = 100 } };
	struct observation *o = NULL;

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL & ~1U, NULL, config.choices, NULL),
			 0);
	assert_int_equal(observation_start(&o, &config, NULL), 0);
	assert_int_equal(script.started, 1);
	observation_note(o, &(struct backend_note){ .what = NOTE_STARTED, .pid = 1 });
	observation_note(o, &(struct backend_note){ .what = NOTE_STARTED, .pid = 1 });
	observation_flush(o);
	assert_int_equal(n_seqs, 2);
	assert_int_equal(seqs[0], 101);
	assert_int_equal(seqs[1], 107);
	assert_int_equal(missed, 10);
	assert_null(observation_stop(o));
	assert_int_equal(script.stopped, 1);
	prober_free(p);
}

static void a_backend_that_does_not_start_fails_the_observation(void **state _unused_)
{
	struct prober *p = prober(REEVE_SUPPORTED, REEVE_SUPPORTED);
	struct observation_config config = { .sink = { on_event, on_missed, NULL },
					     .target = { .mark = 1 } };
	struct observation *o = NULL;
	struct error e;

	assert_int_equal(negotiate(p, REEVE_LAUNCHED_TREE, ALL, NULL, config.choices, NULL), 0);
	assert_true(observation_start(&o, &config, &e) < 0);
	assert_null(o);
	assert_string_equal(e.message, "does not start");
	prober_free(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_that_supports_a_category_wins),
		cmocka_unit_test(whole_support_further_down_is_better_than_partial),
		cmocka_unit_test(a_partial_choice_says_what_would_be_better_and_why_it_is_not),
		cmocka_unit_test(what_no_backend_sees_is_unavailable_with_a_reason),
		cmocka_unit_test(each_backend_is_probed_once_a_scope),
		cmocka_unit_test(nothing_is_probed_for_what_was_not_asked),
		cmocka_unit_test(a_named_backend_is_taken_whatever_it_says),
		cmocka_unit_test(one_that_must_be_asked_for_is_taken_only_then),
		cmocka_unit_test(a_name_that_cannot_serve_is_refused),
		cmocka_unit_test(lifecycle_is_always_supported),
		cmocka_unit_test(the_matrix_of_this_machine_is_complete),
		cmocka_unit_test(one_run_serves_all_categories_of_its_backend),
		cmocka_unit_test(a_backend_that_does_not_start_fails_the_observation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
