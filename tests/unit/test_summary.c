/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "core/summary.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARGS_MAX 12

/* A command line, and what may be shown of it. */
struct sample {
	const char *argv[ARGS_MAX];
	const char *summary;
};

#define CHECK(samples) check_all(samples, ARRAY_SIZE(samples))

static void check_all(const struct sample *samples, size_t n_samples)
{
	for (size_t i = 0; i < n_samples; i++) {
		_cleanup_(freep) char *summary = NULL;
		size_t n = 0;

		while (n < ARGS_MAX && samples[i].argv[n])
			n++;
		assert_int_equal(summary_make((char *const *)samples[i].argv, n, 0, &summary), 0);
		assert_string_equal(summary, samples[i].summary);
	}
}

static void arguments_that_look_secret_are_hidden(void **state)
{
	static const struct sample samples[] = {
		{ { "curl", "API_KEY=abc123", "--header", "Authorization: Bearer abc123",
		    "hello world" },
		  "curl API_KEY=<redacted> --header <redacted> \"hello world\"" },
		{ { "x", "token=abc", "GITHUB_TOKEN=abc", "gitHubToken=abc" },
		  "x token=<redacted> GITHUB_TOKEN=<redacted> gitHubToken=<redacted>" },
		{ { "x", "Secret=a", "CLIENT_SECRET=a=b", "SECRETKEY=a" },
		  "x Secret=<redacted> CLIENT_SECRET=<redacted> SECRETKEY=<redacted>" },
		{ { "x", "PGPASSWORD=a", "passwd=a", "DB_PASSWORDS=a,b" },
		  "x PGPASSWORD=<redacted> passwd=<redacted> DB_PASSWORDS=<redacted>" },
		{ { "x", "apikey=a", "OpenAI_Api_Key=a", "apikey:abc" },
		  "x apikey=<redacted> OpenAI_Api_Key=<redacted> <redacted>" },
		{ { "x", "authorization=Basic abc", "my-bearer" },
		  "x authorization=<redacted> <redacted>" },
		{ { "x", "--token=abc", "--set", "auth.password=abc", "-Dsecret=x" },
		  "x --token=<redacted> --set auth.password=<redacted> -Dsecret=<redacted>" },
		{ { "x", "-pmysecret", "{\"password\":\"x=y\"}", "secretword", "secretEnv=a",
		    "tokenIssuer" },
		  "x <redacted> <redacted> <redacted> secretEnv=<redacted> <redacted>" },
		{ { "x", "PASSWORD=" }, "x PASSWORD=<redacted>" },
	};

	(void)state;
	CHECK(samples);
}

static void ordinary_arguments_are_shown(void **state)
{
	static const struct sample samples[] = {
		{ { "cat", "tokenizer.json" }, "cat tokenizer.json" },
		{ { "x", "TOKENIZERS_PARALLELISM=false" }, "x TOKENIZERS_PARALLELISM=false" },
		{ { "x", "tokenise.py", "secretary.txt", "passwordless", "secretion" },
		  "x tokenise.py secretary.txt passwordless secretion" },
		{ { "make", "-j4", "CC=gcc", "all" }, "make -j4 CC=gcc all" },
		{ { "ssh", "-i", "key.pem", "git@github.com" }, "ssh -i key.pem git@github.com" },
		{ { "x", "KEYBOARD=us", "MONKEY=1", "PATH=/bin", "--key=file", "--sort-key=a" },
		  "x KEYBOARD=us MONKEY=1 PATH=/bin --key=file --sort-key=a" },
		{ { "docker", "run", "fortune-cookie:3" }, "docker run fortune-cookie:3" },
		{ { "tar", "-u", "a:b" }, "tar -u a:b" },
		{ { "x", "a\"b", "c\\d", "$HOME" }, "x a\"b c\\d $HOME" },
		{ { "sh", "-c", "make && ./run --fast" }, "sh -c \"make && ./run --fast\"" },
	};

	(void)state;
	CHECK(samples);
}

static void the_value_after_a_secret_option_is_hidden(void **state)
{
	static const struct sample samples[] = {
		{ { "x", "--token", "abc", "run" }, "x --token <redacted> run" },
		{ { "x", "--api-key", "x", "run" }, "x --api-key <redacted> run" },
		{ { "x", "--db-password", "-hunter2" }, "x --db-password <redacted>" },
		{ { "x", "-token", "abc" }, "x -token <redacted>" },
		{ { "x", "-access-token", "abc" }, "x <redacted> <redacted>" },
		{ { "x", "--tokens", "abc,def" }, "x --tokens <redacted>" },
		{ { "x", "--password", "--verbose", "y" }, "x --password --verbose y" },
		{ { "x", "--password", "-h", "host" }, "x --password -h host" },
		{ { "x", "--password", "--", "y" }, "x --password -- y" },
		{ { "x", "--no-token", "abc" }, "x <redacted> abc" },
		{ { "x", "--token", "a=b" }, "x --token <redacted>" },
		{ { "x", "--token", "--token=abc", "y" }, "x --token <redacted> y" },
		{ { "x", "--token", "tok en" }, "x --token <redacted>" },
		{ { "x", "--token", "" }, "x --token <redacted>" },
		{ { "x", "--token" }, "x --token" },
		{ { "x", "--secret-key=abc", "--api-key=x", "--aws-access-key", "x" },
		  "x --secret-key=<redacted> --api-key=<redacted> --aws-access-key <redacted>" },
	};

	(void)state;
	CHECK(samples);
}

static void headers_and_credential_names_are_hidden(void **state)
{
	static const struct sample samples[] = {
		{ { "curl", "-H", "X-Api-Key: abc", "-H", "Cookie: a=b" },
		  "curl -H <redacted> -H <redacted>" },
		{ { "curl", "-HCookie: a", "-Hx-api-key:abc", "--header=Set-Cookie: a" },
		  "curl <redacted> <redacted> --header=<redacted>" },
		{ { "curl", "-H", "Authorization: Basic dXNlcjpwYXNz==" }, "curl -H <redacted>" },
		{ { "x", "Authorization:", "Basic", "abc", "y" },
		  "x <redacted> <redacted> <redacted> y" },
		{ { "x", "Bearer", "abc", "y" }, "x <redacted> <redacted> y" },
		{ { "x", "Cookie:", "abc", "y" }, "x <redacted> <redacted> y" },
		{ { "x", "GITHUB_PAT=a", "OPENAI_KEY=a", "my_key=a", "DB_PASS=a" },
		  "x GITHUB_PAT=<redacted> OPENAI_KEY=<redacted> my_key=<redacted> "
		  "DB_PASS=<redacted>" },
		{ { "x", "a=b,SIGN_KEY=c" }, "x a=<redacted>" },
	};

	(void)state;
	CHECK(samples);
}

static void of_a_url_only_the_password_is_hidden(void **state)
{
	static const struct sample samples[] = {
		{ { "psql", "postgres://user:password@host/db" },
		  "psql postgres://user:<redacted>@host/db" },
		{ { "x", "DATABASE_URL=postgres://u:pw@h/d?sslmode=on" },
		  "x DATABASE_URL=postgres://u:<redacted>@h/d?sslmode=on" },
		{ { "git", "clone", "https://x-access-token:abc@github.com/a/b.git" },
		  "git clone https://x-access-token:<redacted>@github.com/a/b.git" },
		{ { "x", "redis://:pw@h:6379/0" }, "x redis://:<redacted>@h:6379/0" },
		{ { "x", "amqp://u:p@ss@h,http://a:b@c" },
		  "x amqp://u:<redacted>@h,http://a:<redacted>@c" },
		{ { "x", "http://a:b@c", "ftp://d:e@f" },
		  "x http://a:<redacted>@c "
		  "ftp://d:<redacted>@f" },
		{ { "x", "http://u:pa/ss@h/", "http://u:p?w@h" },
		  "x http://u:<redacted>@h/ http://u:<redacted>@h" },
		{ { "x", "http://h:80/a@b", "ssh://git@h:22/x", "http://[::1]:80/@" },
		  "x http://h:80/a@b ssh://git@h:22/x http://[::1]:80/@" },
		{ { "sh", "-c", "curl http://u:pw@h/ | sh" },
		  "sh -c \"curl http://u:<redacted>@h/ | sh\"" },
		{ { "x", "https://h/p?token=abc&x=1" }, "x https://h/p?token=<redacted>" },
		{ { "x", "https://h/p?x=1&token=abc" }, "x https://h/p?x=<redacted>" },
		{ { "x", "https://h/secret/abc?x=1" }, "x <redacted>" },
		{ { "x", "https://u:pw@h/?token=abc" },
		  "x https://u:<redacted>@h/?token=<redacted>" },
	};

	(void)state;
	CHECK(samples);
}

static void the_user_option_of_curl_is_hidden_and_of_others_not(void **state)
{
	static const struct sample samples[] = {
		{ { "curl", "-u", "user:pw", "http://h" }, "curl -u <redacted> http://h" },
		{ { "/usr/bin/curl", "-sSu", "user:pw" }, "/usr/bin/curl -sSu <redacted>" },
		{ { "sudo", "curl", "-uuser:pw" }, "sudo curl <redacted>" },
		{ { "curl", "--user", "user:pw", "--proxy-user=a:b" },
		  "curl --user <redacted> --proxy-user=<redacted>" },
		{ { "curl", "-b", "sid=abc", "-U", "a:b" },
		  "curl -b sid=<redacted> -U <redacted>" },
		{ { "curl", "-u", "user", "-b", "jar.txt" }, "curl -u user -b jar.txt" },
		{ { "curl", "-ou", "a:b", "--user-agent", "a:b" },
		  "curl -ou a:b --user-agent a:b" },
		{ { "docker", "run", "-u", "1000:1000", "x" }, "docker run -u 1000:1000 x" },
	};

	(void)state;
	CHECK(samples);
}

static void a_shell_line_with_a_secret_is_hidden_whole(void **state)
{
	static const struct sample samples[] = {
		{ { "sh", "-c", "curl -u 'bob:pw' http://h" }, "sh -c <redacted>" },
		{ { "sh", "-c", "cd x; SIGN_KEY=abc make" }, "sh -c <redacted>" },
		{ { "sh", "-c", "SIGN_KEY=abc make" }, "sh -c SIGN_KEY=<redacted>" },
		{ { "sh", "-c", "x --access-key abc" }, "sh -c <redacted>" },
		{ { "sh", "-c", "curl -H \"X-Api-Key: abc\"" }, "sh -c <redacted>" },
		{ { "sh", "-c", "mysql --password abc" }, "sh -c <redacted>" },
		{ { "sh", "-c", "python tokenizer.py | tee out" },
		  "sh -c \"python tokenizer.py | tee out\"" },
	};

	(void)state;
	CHECK(samples);
}

static void the_summary_is_one_line_of_text(void **state)
{
	static const struct sample samples[] = {
		{ { "printf", "a\nb\tc", "", "x" }, "printf \"a\\nb\\tc\" \"\" x" },
		{ { "x", "say \"hi\" \\o/" }, "x \"say \\\"hi\\\" \\\\o/\"" },
		{ { "x", "\x1b[31m", "\xff",
		    "\xc2\x9b"
		    "1m" },
		  "x \"\\x1b[31m\" \"\\xff\" \"\\xc2\\x9b1m\"" },
		{ { "x", "caf\xc3\xa9", "na\xc3\xafve caf\xc3\xa9" },
		  "x caf\xc3\xa9 \"na\xc3\xafve caf\xc3\xa9\"" },
		{ { NULL }, "" },
	};

	(void)state;
	CHECK(samples);
}

static void a_long_summary_is_cut_between_two_characters(void **state)
{
	char *argv[] = { "echo", "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", "--token",
			 "x" };

	(void)state;
	for (size_t max = 1; max < 40; max++) {
		_cleanup_(freep) char *summary = NULL;

		assert_int_equal(summary_make(argv, 4, max, &summary), 0);
		assert_true(strlen(summary) <= max);
		assert_true(strlen(summary) + 3 > max || max > 36);
		assert_true(text_is_utf8(summary, strlen(summary)));
		assert_int_equal(!strstr(summary, "\xe2\x80\xa6"), max < 3 || max >= 36);
	}
}

static void redacted_arguments_stay_apart(void **state)
{
	char *argv[] = { "x", "hello world", "TOKEN=abc", "--token", "abc", "http://a:b@c" };
	static const char *const expected[] = { "x",       "hello world", "TOKEN=<redacted>",
						"--token", "<redacted>",  "http://a:<redacted>@c" };
	_cleanup_(text_list_freep) char **list = NULL;

	(void)state;
	assert_int_equal(redact_argv(argv, ARRAY_SIZE(argv), &list), 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(list[i], expected[i]);
	assert_null(list[ARRAY_SIZE(expected)]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_that_look_secret_are_hidden),
		cmocka_unit_test(ordinary_arguments_are_shown),
		cmocka_unit_test(the_value_after_a_secret_option_is_hidden),
		cmocka_unit_test(headers_and_credential_names_are_hidden),
		cmocka_unit_test(of_a_url_only_the_password_is_hidden),
		cmocka_unit_test(the_user_option_of_curl_is_hidden_and_of_others_not),
		cmocka_unit_test(a_shell_line_with_a_secret_is_hidden_whole),
		cmocka_unit_test(the_summary_is_one_line_of_text),
		cmocka_unit_test(a_long_summary_is_cut_between_two_characters),
		cmocka_unit_test(redacted_arguments_stay_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
