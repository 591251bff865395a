/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/targets.h"
#include <string.h>

struct wait_values {
	const char *timeout, *label;
	struct words until;
};

static const struct option_spec specs[] = {
	{ .name = "until",
	  .letter = 'u',
	  .argument = "WHAT",
	  .help = "wait for: exit (default), tree, eof, log=RE, port=N, http=URL, idle=TIME, input",
	  .choices = "exit tree eof log= port= http= idle= input",
	  .type = OPTION_WORDS,
	  .offset = offsetof(struct wait_values, until) },
	{ .name = "timeout",
	  .letter = 't',
	  .argument = "TIME",
	  .help = "give up after this; exit status 124",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct wait_values, timeout) },
	{ .name = "label",
	  .letter = 'l',
	  .argument = "KEY=VALUE",
	  .help = "for all with this label",
	  .type = OPTION_TEXT,
	  .offset = offsetof(struct wait_values, label) },
	{ 0 },
};

const struct option_table wait_options = { specs, sizeof(struct wait_values) };

enum value_kind { VALUE_NONE, VALUE_TEXT, VALUE_NUMBER };

/* "port=3000" as {"port":3000}. NULL when it is no condition. */
static json_t *condition_of(const char *text)
{
	static const struct {
		const char *word, *field;
		enum value_kind value;
	} conditions[] = {
		{ "exit", "exit", VALUE_NONE },   { "tree", "tree", VALUE_NONE },
		{ "eof", "eof", VALUE_NONE },     { "input", "input", VALUE_NONE },
		{ "log", "match", VALUE_TEXT },   { "match", "match", VALUE_TEXT },
		{ "http", "http", VALUE_TEXT },   { "idle", "idle", VALUE_TEXT },
		{ "port", "port", VALUE_NUMBER },
	};
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : strlen(text);
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		if (strlen(conditions[i].word) != length ||
		    memcmp(conditions[i].word, text, length) != 0 ||
		    (conditions[i].value == VALUE_NONE) != !equals)
			continue;
		if (!equals)
			return json_pack("{s:b}", conditions[i].field, 1);
		if (conditions[i].value == VALUE_TEXT)
			return json_pack("{s:s}", conditions[i].field, equals + 1);
		if (parse_u64(equals + 1, 1, 65535, &number) == 0)
			return json_pack("{s:I}", conditions[i].field, (json_int_t)number);
	}
	return NULL;
}

static int make_until(const struct words *words, json_t **ret, struct error *e)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < words->n; i++) {
		json_t *condition = condition_of(words->items[i]);

		if (!condition) {
			json_decref(list);
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "--until: \"%s\" is nothing to wait for", words->items[i]);
		}
		json_array_append_new(list, condition);
	}
	*ret = list;
	return 0;
}

struct waiter {
	struct cli *cli;
	const json_t *until;
	uint64_t deadline; /* monotonic ms; 0: none */
	bool several;
};

/* Waits for one; its exit status, or a negative errno. */
static int wait_one(const struct waiter *w, const char *id, struct error *e)
{
	uint64_t now = clock_monotonic_ms();
	char left[DURATION_TEXT_MAX];
	json_t *body = json_object(), *answer = NULL, *code;
	const char *fired;
	int status = 0, r;

	if (json_array_size(w->until) > 0)
		json_object_set_new(body, "until", json_deep_copy(w->until));
	if (w->deadline != 0)
		json_object_set_new(body, "timeout",
				    json_string(format_duration(
					    w->deadline > now ? w->deadline - now : 0, left)));
	r = cli_call_session(w->cli, "POST", id, "/wait", body, &answer, e);
	if (r < 0)
		return r;
	fired = json_string_value(json_object_get(answer, "fired"));
	code = json_object_get(answer, "exitCode");
	if (fired && strcmp(fired, "timeout") == 0)
		status = EXIT_TIMED_OUT;
	else if (json_is_integer(code))
		status = cli_status_of(json_integer_value(code));
	else if (fired && strcmp(fired, "exit") == 0)
		status = EXIT_FAILED; /* it never ran, or nobody saw how it ended */
	if (w->several)
		printf("%s %d\n", id, status);
	json_decref(answer);
	return status;
}

int cmd_wait(struct cli *cli, const void *values, int n, char **operands)
{
	const struct wait_values *v = values;
	_cleanup_(targets_done) struct targets t = { 0 };
	struct waiter w = { .cli = cli };
	struct error e = { 0 };
	uint64_t timeout_ms = 0;
	json_t *until = NULL;
	int first = 0;

	if (make_until(&v->until, &until, &e) < 0)
		return cli_usage(cli, "%s", e.message);
	w.until = until;
	if (v->timeout && parse_duration_ms(v->timeout, &timeout_ms) == 0)
		w.deadline = clock_monotonic_ms() + timeout_ms;
	if (targets_find(cli, operands, n, v->label, true, &t, &e) < 0)
		first = cli_fail(cli, &e);
	w.several = t.n > 1;
	for (size_t i = 0; i < t.n; i++) {
		int status = wait_one(&w, t.ids[i], &e);

		if (status < 0)
			status = cli_fail(cli, &e);
		fflush(stdout);
		first = first ? first : status;
	}
	json_decref(until);
	return first;
}
