/* SPDX-License-Identifier: Apache-2.0 */
/* typing.h - does the program in a session's terminal wait for input, and would it be shown?
 *
 * Looked up when somebody asks; nothing is kept up to date meanwhile. Where the kernel refuses it
 * to the engine, which is no ancestor of the program, the keeper is asked, and its answer comes as
 * a change of the session. */
#pragma once
#include "core/ttywait.h"
#include "engine/session.h"

#define TYPING_QUIET_MS 80U /* a program that still writes does not wait yet */

/* TTY_WAIT_UNKNOWN for a session without a terminal. */
enum tty_wait typing_look(struct session *s);

/* What is typed is shown, by the terminal or (outside canonical mode) by a program that draws for
 * itself. False is how a password is asked for. */
bool typing_echo(const struct session *s);

/* The keeper's answer, and the processor time that it took. */
void typing_answered(struct session *s, enum tty_wait answer, uint64_t cost_us);

/* ms since the session last wrote something. */
uint64_t typing_quiet(const struct session *s);
