/* SPDX-License-Identifier: Apache-2.0 */
/* stopplan.h - how a session is stopped: signals, each followed by a wait, SIGKILL last. */
#pragma once
#include "core/control.h"
#include <stdint.h>

#define STOP_GRACE_MS      5000U /* the wait of the default plan, `TERM 5s KILL` */
#define STOP_PLAN_TEXT_MAX 512

struct stop_step {
	int signal;
	uint64_t wait_ms; /* after the signal; the tree may be gone earlier */
};

struct stop_plan {
	struct stop_step steps[STOP_STEPS_MAX];
	unsigned n_steps; /* at least 1; the last one is SIGKILL and waits for nothing */
};

/* "TERM 5s KILL": signals by name, each with its wait behind it (none: 0). A missing KILL at the
 * end is added, after STOP_GRACE_MS when the signal before it has no wait. -EINVAL: not of this
 * form, or something behind KILL. -E2BIG: more than STOP_STEPS_MAX steps. -ERANGE: a wait is too
 * long. */
int parse_stop_plan(const char *text, struct stop_plan *ret);

/* `signal`, `grace_ms`, SIGKILL; SIGKILL alone when that is the signal. -EINVAL for no signal. */
int stop_plan_make(int signal, uint64_t grace_ms, struct stop_plan *ret);

/* Back to text that gives the same plan. Returns `buf`. */
char *stop_plan_format(const struct stop_plan *p, char buf[STOP_PLAN_TEXT_MAX]);

/* A step as the word of struct control_stop: signal << 48 | wait in ms. */
uint64_t stop_step_pack(const struct stop_step *step);
struct stop_step stop_step_unpack(uint64_t word);
