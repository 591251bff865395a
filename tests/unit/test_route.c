/* SPDX-License-Identifier: Apache-2.0 */
#include "api/route.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const log_query[] = { "tail", "since", NULL };
static const char *const event_query[] = { "since", "only", NULL };

static const struct route routes[] = {
	{ .method = "GET", .path = "/v1/sessions" },
	{ .method = "POST", .path = "/v1/sessions" },
	{ .method = "GET", .path = "/v1/sessions/{id}" },
	{ .method = "GET", .path = "/v1/sessions/{id}/logs/{stream}", .query = log_query },
	{ .method = "DELETE", .path = "/v1/sessions/{id}" },
	{ .method = "GET",
	  .path = "/v1/sessions/events",
	  .query = event_query,
	  .repeated = &event_query[1] },
	{ 0 },
};

static char text[1024];
static struct target target;
static struct error error;

static int parse(const char *t)
{
	error = (struct error){ 0 };
	snprintf(text, sizeof(text), "%s", t);
	return target_parse(text, &target, &error);
}

static const struct route *match(const char *method, const char *path)
{
	const struct route *route = NULL;
	char allow[ROUTE_ALLOW_MAX];

	assert_int_equal(parse(path), 0);
	return route_match(routes, method, &target, &route, allow, &error) < 0 ? NULL : route;
}

static void assert_refused(const char *t)
{
	if (parse(t) >= 0)
		fail_msg("'%s' was taken", t);
	assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
	assert_true(error.message[0]);
}

static void a_target_is_split_before_it_is_decoded(void **state _unused_)
{
	assert_int_equal(parse("/v1/a%2Fb/%c3%BC?x=1%262&y+z=a+b&flag"), 0);
	assert_int_equal(target.n_segments, 3);
	assert_string_equal(target.segments[0], "v1");
	assert_string_equal(target.segments[1], "a/b");
	assert_string_equal(target.segments[2], "\xc3\xbc");
	assert_string_equal(target_query(&target, "x"), "1&2");
	assert_string_equal(target_query(&target, "y z"), "a b");
	assert_string_equal(target_query(&target, "flag"), "");
	assert_null(target_query(&target, "z"));
}

static void a_plus_in_the_path_is_a_plus(void **state _unused_)
{
	assert_int_equal(parse("/a+b"), 0);
	assert_string_equal(target.segments[0], "a+b");
}

static void an_absolute_target_is_read_from_its_path_on(void **state _unused_)
{
	assert_int_equal(parse("http://host:80/v1?a=http://x/y"), 0);
	assert_int_equal(target.n_segments, 1);
	assert_string_equal(target.segments[0], "v1");
	assert_string_equal(target_query(&target, "a"), "http://x/y");
	assert_refused("http://host");
}

static void a_percent_without_two_hex_digits_is_refused(void **state _unused_)
{
	assert_refused("/a%");
	assert_refused("/a%4");
	assert_refused("/a%4g");
	assert_refused("/a%%41");
	assert_refused("/a?b=%zz");
	assert_refused("/a?%1=b");
}

static void nul_and_what_is_not_utf8_are_refused(void **state _unused_)
{
	assert_refused("/a%00");
	assert_refused("/a?b=%00c");
	assert_refused("/%ff");
	assert_refused("/\xff");
	assert_refused("/?a=%c3");
}

static void spaces_and_control_characters_are_refused(void **state _unused_)
{
	assert_refused("/a b");
	assert_refused("/a\tb");
	assert_refused("/a\x7f");
	assert_refused("/?a=b c");
}

static void a_target_without_a_slash_is_refused(void **state _unused_)
{
	assert_refused("");
	assert_refused("*");
	assert_refused("v1/sessions");
	assert_refused("?a=b");
}

static void segments_and_parameters_have_a_limit(void **state _unused_)
{
	char many[512] = "/?p0";

	assert_int_equal(parse("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16"), 0);
	assert_refused("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17");
	for (unsigned i = 1; i < TARGET_QUERY_MAX; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "&p%u", i);
	assert_int_equal(parse(many), 0);
	strcat(many, "&more");
	assert_refused(many);
}

static void a_route_is_found_by_method_and_path(void **state _unused_)
{
	assert_ptr_equal(match("GET", "/v1/sessions"), &routes[0]);
	assert_ptr_equal(match("POST", "/v1/sessions"), &routes[1]);
	assert_ptr_equal(match("DELETE", "/v1/sessions/x"), &routes[4]);
	assert_null(match("GET", "/v1"));
	assert_null(match("GET", "/v1/session"));
	assert_null(match("GET", "/v1/sessionss"));
	assert_null(match("GET", "/v1/sessions/x/logs"));
	assert_null(match("GET", "/V1/sessions"));
	assert_null(match("get", "/v1/sessions"));
}

static void parameters_are_told_by_their_name(void **state _unused_)
{
	const struct route *route = match("GET", "/v1/sessions/build%20it/logs/stdout");

	assert_ptr_equal(route, &routes[3]);
	assert_string_equal(route_param(route, &target, "id"), "build it");
	assert_string_equal(route_param(route, &target, "stream"), "stdout");
	assert_null(route_param(route, &target, "strea"));
	assert_null(route_param(route, &target, "sessions"));
}

static void a_parameter_is_never_empty(void **state _unused_)
{
	assert_null(match("GET", "/v1/sessions/"));
	assert_null(match("GET", "/v1//sessions"));
	assert_null(match("GET", "/v1/sessions//logs/stdout"));
	assert_null(match("GET", "/"));
}

static void a_literal_segment_wins_over_a_parameter(void **state _unused_)
{
	assert_ptr_equal(match("GET", "/v1/sessions/events"), &routes[5]);
	assert_ptr_equal(match("DELETE", "/v1/sessions/events"), &routes[4]);
}

static void get_answers_head(void **state _unused_)
{
	assert_ptr_equal(match("HEAD", "/v1/sessions/x"), &routes[2]);
}

static void a_wrong_method_is_told_the_right_ones(void **state _unused_)
{
	const struct route *route = NULL;
	char allow[ROUTE_ALLOW_MAX];

	parse("/v1/sessions");
	assert_int_equal(route_match(routes, "PUT", &target, &route, allow, &error), -EOPNOTSUPP);
	assert_string_equal(allow, "GET, HEAD, POST");
	assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
	assert_null(route);

	parse("/v1/nowhere");
	assert_int_equal(route_match(routes, "PUT", &target, &route, allow, &error), -ENOENT);
	assert_int_equal(error.code, ERROR_NOT_FOUND);
}

static void a_query_parameter_that_the_route_does_not_know_is_refused(void **state _unused_)
{
	const struct route *route = match("GET", "/v1/sessions/x/logs/out?tail=5&since=1");

	assert_int_equal(route_check_query(route, &target, &error), 0);
	route = match("GET", "/v1/sessions/x/logs/out?tail=5&sinc=1");
	assert_true(route_check_query(route, &target, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "'sinc'"));
	route = match("GET", "/v1/sessions?tail");
	assert_true(route_check_query(route, &target, &error) < 0);
}

static void a_query_parameter_is_there_once_unless_the_route_takes_several(void **state _unused_)
{
	const char *values[TARGET_QUERY_MAX];
	const struct route *route = match("GET", "/v1/sessions/x/logs/out?tail=1&%74ail=2");

	assert_true(route_check_query(route, &target, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "'tail' is there twice"));
	route = match("GET", "/v1/sessions/x/logs/out?since&since");
	assert_true(route_check_query(route, &target, &error) < 0);
	route = match("GET", "/v1/sessions/events?only=b&&since=1&only=a&only&");
	assert_int_equal(route_check_query(route, &target, &error), 0);
	assert_int_equal(target.n_query, 4);
	assert_int_equal(target_query_all(&target, "only", values), 3);
	assert_string_equal(values[0], "b");
	assert_string_equal(values[1], "a");
	assert_string_equal(values[2], "");
	assert_int_equal(target_query_all(&target, "none", values), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_target_is_split_before_it_is_decoded),
		cmocka_unit_test(a_plus_in_the_path_is_a_plus),
		cmocka_unit_test(an_absolute_target_is_read_from_its_path_on),
		cmocka_unit_test(a_percent_without_two_hex_digits_is_refused),
		cmocka_unit_test(nul_and_what_is_not_utf8_are_refused),
		cmocka_unit_test(spaces_and_control_characters_are_refused),
		cmocka_unit_test(a_target_without_a_slash_is_refused),
		cmocka_unit_test(segments_and_parameters_have_a_limit),
		cmocka_unit_test(a_route_is_found_by_method_and_path),
		cmocka_unit_test(parameters_are_told_by_their_name),
		cmocka_unit_test(a_parameter_is_never_empty),
		cmocka_unit_test(a_literal_segment_wins_over_a_parameter),
		cmocka_unit_test(get_answers_head),
		cmocka_unit_test(a_wrong_method_is_told_the_right_ones),
		cmocka_unit_test(a_query_parameter_that_the_route_does_not_know_is_refused),
		cmocka_unit_test(a_query_parameter_is_there_once_unless_the_route_takes_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
