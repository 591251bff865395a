/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/targets.h"
#include "cli/until.h"
#include <string.h>

struct wait_values {
	const char *timeout;
	struct selection which;
	struct words until;
};

static const struct option_spec specs[] = {
	{ .name = "until",
	  .letter = 'u',
	  .argument = "WHAT",
	  .help = "wait for: exit (default), tree, eof, log=RE, port=N, http=URL, idle=TIME, input",
	  .choices = UNTIL_CHOICES,
	  .type = OPTION_WORDS,
	  .offset = offsetof(struct wait_values, until) },
	{ .name = "timeout",
	  .letter = 't',
	  .argument = "TIME",
	  .help = "give up after this; exit status 124",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct wait_values, timeout) },
	SELECTION_OPTIONS(struct wait_values, which, "for all"),
	{ 0 },
};

const struct option_table wait_options = { specs, sizeof(struct wait_values) };

struct waiter {
	struct cli *cli;
	const json_t *until;
	uint64_t deadline; /* monotonic ms; 0: none */
	bool several;
};

/* What the answer means as an exit status. */
static int status_of(const struct waiter *w, const json_t *answer)
{
	const char *fired = json_string_value(json_object_get(answer, "fired"));
	const json_t *code = json_object_get(answer, "exitCode");
	bool lasting = fired && (strcmp(fired, "exit") == 0 || strcmp(fired, "tree") == 0);
	int status = json_is_integer(code) ? cli_status_of(json_integer_value(code)) : EXIT_FAILED;

	if (fired && strcmp(fired, "timeout") == 0)
		return EXIT_TIMED_OUT;
	if (until_fired(w->until, answer) && !lasting)
		return 0;
	/* it ended before what was waited for came true */
	if (status == 0 && json_array_size(w->until) > 0 && !until_fired(w->until, answer))
		return EXIT_FAILED;
	return status;
}

/* Waits for one; its exit status, or a negative errno. */
static int wait_one(const struct waiter *w, const char *id, struct error *e)
{
	uint64_t now = clock_monotonic_ms();
	char left[DURATION_TEXT_MAX];
	json_t *body = json_object(), *answer = NULL;
	int status, r;

	if (json_array_size(w->until) > 0)
		json_object_set_new(body, "until", json_deep_copy(w->until));
	if (w->deadline != 0)
		json_object_set_new(body, "timeout",
				    json_string(format_duration(
					    w->deadline > now ? w->deadline - now : 0, left)));
	r = cli_call_session(w->cli, "POST", id, "/wait", body, &answer, e);
	if (r < 0)
		return r;
	status = status_of(w, answer);
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

	if (until_make(&v->until, "until", &until, &e) < 0)
		return cli_usage(cli, "%s", e.message);
	w.until = until;
	if (v->timeout && parse_duration_ms(v->timeout, &timeout_ms) == 0)
		w.deadline = clock_monotonic_ms() + timeout_ms;
	if (targets_find(cli, operands, n, &v->which, true, &t, &e) < 0)
		first = cli_fail(cli, &e);
	w.several = t.n > 1 || t.described;
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
