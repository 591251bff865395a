/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stopplan.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "base/signals.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX     32U /* bytes of one word of the text; no valid one is longer */
#define SIGNAL_SHIFT 48

/* Copies the next word at `*p` and moves behind it. 0 at the end of the text. */
static int next_word(const char **p, char word[WORD_MAX])
{
	size_t n;

	*p += strspn(*p, " \t");
	n = strcspn(*p, " \t");
	if (n >= WORD_MAX)
		return -EINVAL;
	memcpy(word, *p, n);
	word[n] = '\0';
	*p += n;
	return n > 0;
}

/* Adds what one word says. `*waits` tells whether the last step has its wait already. */
static int add_word(struct stop_plan *plan, const char *word, bool *waits)
{
	struct stop_step *last = plan->n_steps > 0 ? &plan->steps[plan->n_steps - 1] : NULL;
	int sig, r;

	if (last && last->signal == SIGKILL)
		return -EINVAL;
	/* Signals only by name: in "TERM 5 KILL" the 5 is not meant to be SIGTRAP. */
	sig = *word >= '0' && *word <= '9' ? -EINVAL : signal_from_name(word);
	if (sig > 0) {
		if (plan->n_steps == STOP_STEPS_MAX)
			return -E2BIG;
		plan->steps[plan->n_steps++] = (struct stop_step){ .signal = sig };
		*waits = false;
		return 0;
	}
	if (!last || *waits)
		return -EINVAL;
	r = parse_duration_ms(word, &last->wait_ms);
	*waits = true;
	return r;
}

int parse_stop_plan(const char *text, struct stop_plan *ret)
{
	struct stop_plan plan = { .n_steps = 0 };
	struct stop_step *last;
	char word[WORD_MAX];
	bool waits = false;
	int r;

	while ((r = next_word(&text, word)) > 0) {
		r = add_word(&plan, word, &waits);
		if (r < 0)
			return r;
	}
	if (r < 0 || plan.n_steps == 0)
		return -EINVAL;
	last = &plan.steps[plan.n_steps - 1];
	if (last->signal != SIGKILL) {
		if (plan.n_steps == STOP_STEPS_MAX)
			return -E2BIG;
		if (!waits)
			last->wait_ms = STOP_GRACE_MS;
		plan.steps[plan.n_steps++] = (struct stop_step){ .signal = SIGKILL };
	}
	*ret = plan;
	return 0;
}

int stop_plan_make(int signal, uint64_t grace_ms, struct stop_plan *ret)
{
	if (!signal_name(signal))
		return -EINVAL;
	*ret = (struct stop_plan){ .n_steps = 0 };
	if (signal != SIGKILL)
		ret->steps[ret->n_steps++] = (struct stop_step){
			.signal = signal,
			.wait_ms = MIN(grace_ms, (uint64_t)DURATION_MAX_MS),
		};
	ret->steps[ret->n_steps++] = (struct stop_step){ .signal = SIGKILL };
	return 0;
}

/* "SIGTERM" is written as "TERM", but "SIG32" is all there is of it. */
static const char *short_name(int sig)
{
	const char *name = signal_name(sig);

	if (!name)
		return "?";
	return strncmp(name, "SIG3", 4) != 0 ? name + 3 : name;
}

char *stop_plan_format(const struct stop_plan *p, char buf[STOP_PLAN_TEXT_MAX])
{
	char wait[DURATION_TEXT_MAX];
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < p->n_steps && i < STOP_STEPS_MAX; i++) {
		const struct stop_step *step = &p->steps[i];

		n += (size_t)snprintf(buf + n, STOP_PLAN_TEXT_MAX - n, "%s%s", i > 0 ? " " : "",
				      short_name(step->signal));
		if (step->wait_ms > 0)
			n += (size_t)snprintf(buf + n, STOP_PLAN_TEXT_MAX - n, " %s",
					      format_duration(step->wait_ms, wait));
	}
	return buf;
}

uint64_t stop_step_pack(const struct stop_step *step)
{
	return (uint64_t)step->signal << SIGNAL_SHIFT |
	       (step->wait_ms & ((1ULL << SIGNAL_SHIFT) - 1));
}

struct stop_step stop_step_unpack(uint64_t word)
{
	return (struct stop_step){
		.signal = (int)(word >> SIGNAL_SHIFT),
		.wait_ms = word & ((1ULL << SIGNAL_SHIFT) - 1),
	};
}
