/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cli/logout_hint.h"
#include "client/logout.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DEFAULTS "KillUserProcesses=%s\nKillOnlyUsers=%s\nKillExcludeUsers=%s\n"

static void the_place_is_read_from_the_cgroup(void **state)
{
	static const struct {
		const char *text;
		enum logout_place place;
		const char *unit;
		uid_t owner;
	} samples[] = {
		{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service\n",
		  LOGOUT_PLACE_MANAGER, "user@1000.service", 1000 },
		{ "0::/user.slice/user-7.slice/session-c2.scope\n", LOGOUT_PLACE_SCOPE,
		  "session-c2.scope", 7 },
		{ "0::/user.slice/user-0.slice/session-3.scope/below\n", LOGOUT_PLACE_SCOPE,
		  "session-3.scope", 0 },
		{ "5:cpu:/user.slice/user-9.slice/session-1.scope\n"
		  "1:name=systemd:/user.slice/user-8.slice/session-2.scope\n"
		  "0::/\n",
		  LOGOUT_PLACE_SCOPE, "session-2.scope", 8 },
		{ "5:cpu:/x\n0::/user.slice/user-8.slice/user@8.service/init.scope\n",
		  LOGOUT_PLACE_MANAGER, "user@8.service", 8 },
		{ "0::/system.slice/ssh.service\n", LOGOUT_PLACE_NONE, "", 0 },
		{ "0::/system.slice/session-1.scope\n", LOGOUT_PLACE_NONE, "", 0 },
		{ "0::/user.slice/user-8.slice/session-.scope\n", LOGOUT_PLACE_NONE, "", 0 },
		{ "0::/user@x.service/user@1.servicex\n", LOGOUT_PLACE_NONE, "", 0 },
		{ "0::/\n", LOGOUT_PLACE_NONE, "", 0 },
		{ "5:cpu:/user.slice\n", LOGOUT_PLACE_UNKNOWN, "", 0 },
		{ "", LOGOUT_PLACE_UNKNOWN, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct logout_facts f = { 0 };

		logout_parse_cgroup(samples[i].text, &f);
		if (f.place != samples[i].place || strcmp(f.unit, samples[i].unit) != 0)
			fail_msg("%s: %d %s", samples[i].text, f.place, f.unit);
		if (f.unit[0])
			assert_int_equal(f.owner, samples[i].owner);
	}
}

static void a_long_name_of_a_cgroup_is_no_unit(void **state)
{
	char text[600] = "0::/user.slice/user-1.slice/session-";
	struct logout_facts f = { 0 };

	(void)state;
	memset(text + strlen(text), 'x', 400);
	strcat(text, ".scope/user@1.service\n");
	logout_parse_cgroup(text, &f);
	assert_int_equal(f.place, LOGOUT_PLACE_MANAGER);
}

static enum logout_answer rule(const char *kill, const char *only, const char *exclude)
{
	char text[256];

	snprintf(text, sizeof(text), DEFAULTS, kill, only, exclude);
	return logout_parse_manager(text, "ann");
}

static void logind_kills_whom_its_settings_name(void **state)
{
	(void)state;
	assert_int_equal(rule("no", "", "root"), LOGOUT_SURVIVES);
	assert_int_equal(rule("yes", "", "root"), LOGOUT_ENDS);
	assert_int_equal(rule("yes", "", "root ann bob"), LOGOUT_SURVIVES);
	assert_int_equal(rule("yes", "", "anna joann"), LOGOUT_ENDS);
	assert_int_equal(rule("no", "bob ann", "root"), LOGOUT_ENDS);
	assert_int_equal(rule("yes", "bob", "root"), LOGOUT_SURVIVES);
	assert_int_equal(rule("yes", "ann", "ann"), LOGOUT_SURVIVES);
	assert_int_equal(logout_parse_manager("", "ann"), LOGOUT_UNKNOWN);
	assert_int_equal(logout_parse_manager("KillUserProcesses=yes\n", "ann"), LOGOUT_UNKNOWN);
}

static void lingering_is_read_from_the_properties_of_the_user(void **state)
{
	(void)state;
	assert_int_equal(logout_parse_linger("Name=ann\nLinger=yes\n"), LOGOUT_SURVIVES);
	assert_int_equal(logout_parse_linger("Linger=no\nName=yes\n"), LOGOUT_ENDS);
	assert_int_equal(logout_parse_linger("Name=ann\nXLinger=yes\n"), LOGOUT_UNKNOWN);
	assert_int_equal(logout_parse_linger(""), LOGOUT_UNKNOWN);
}

static void what_outlives_a_logout_is_decided_by_place_and_rule(void **state)
{
	struct logout_facts f = { 0 };

	(void)state;
	assert_int_equal(logout_decide(&f), LOGOUT_SURVIVES); /* nobody is there to end it */
	f.systemd = true;
	assert_int_equal(logout_decide(&f), LOGOUT_UNKNOWN);
	f.place = LOGOUT_PLACE_NONE;
	assert_int_equal(logout_decide(&f), LOGOUT_SURVIVES);
	f.place = LOGOUT_PLACE_MANAGER;
	assert_int_equal(logout_decide(&f), LOGOUT_UNKNOWN);
	f.lingers = LOGOUT_ENDS;
	assert_int_equal(logout_decide(&f), LOGOUT_ENDS);
	f.lingers = LOGOUT_SURVIVES;
	assert_int_equal(logout_decide(&f), LOGOUT_SURVIVES);
	f.place = LOGOUT_PLACE_SCOPE; /* lingering is of no help there */
	assert_int_equal(logout_decide(&f), LOGOUT_UNKNOWN);
	f.kills = LOGOUT_ENDS;
	assert_int_equal(logout_decide(&f), LOGOUT_ENDS);
	f.kills = LOGOUT_SURVIVES;
	f.lingers = LOGOUT_ENDS;
	assert_int_equal(logout_decide(&f), LOGOUT_SURVIVES);
}

static void the_explanation_names_the_unit_and_the_remedy(void **state)
{
	struct logout_facts f = { .place = LOGOUT_PLACE_MANAGER, .unit = "user@1000.service" };
	char text[LOGOUT_HINT_MAX];

	(void)state;
	assert_non_null(strstr(logout_explain(&f, text), "user@1000.service"));
	assert_non_null(strstr(text, "`loginctl enable-linger`"));
	f = (struct logout_facts){ .place = LOGOUT_PLACE_SCOPE };
	memset(f.unit, 'x', sizeof(f.unit) - 1);
	assert_non_null(strstr(logout_explain(&f, text), "`loginctl enable-linger`"));
	assert_non_null(strstr(text, "`systemd-run --user --scope reeve daemon start`"));
	assert_null(strstr(text, "user@"));
}

static void a_daemon_is_warned_of_once(void **state)
{
	char dir[] = "/tmp/reeve-logout.XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/logout", dir);
	assert_true(logout_hint_is_due(dir, 10, 7));
	assert_false(logout_hint_is_due(dir, 10, 7));
	assert_true(logout_hint_is_due(dir, 10, 8)); /* the pid was given out again */
	assert_true(logout_hint_is_due(dir, 11, 8));
	assert_false(logout_hint_is_due(dir, 11, 8));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_false(logout_hint_is_due(dir, 11, 8)); /* else each command would look again */
}

static void the_system_is_asked_without_harm(void **state)
{
	struct logout_facts f;

	(void)state;
	logout_look(getpid(), &f);
	assert_true(f.systemd == logout_is_managed());
	if (!f.systemd)
		assert_int_equal(logout_decide(&f), LOGOUT_SURVIVES);
	logout_look(0, &f); /* no process */
	assert_int_equal(f.place, LOGOUT_PLACE_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_place_is_read_from_the_cgroup),
		cmocka_unit_test(a_long_name_of_a_cgroup_is_no_unit),
		cmocka_unit_test(logind_kills_whom_its_settings_name),
		cmocka_unit_test(lingering_is_read_from_the_properties_of_the_user),
		cmocka_unit_test(what_outlives_a_logout_is_decided_by_place_and_rule),
		cmocka_unit_test(the_explanation_names_the_unit_and_the_remedy),
		cmocka_unit_test(a_daemon_is_warned_of_once),
		cmocka_unit_test(the_system_is_asked_without_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
