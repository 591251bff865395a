/* SPDX-License-Identifier: Apache-2.0 */
/* terminal_signals.h - the signals of whoever shows a terminal. `owner`: the session is this
 * command, and gets what is sent to it from outside. One that was ignored from the start stays so.
 */
#pragma once
#include <stdbool.h>

/* Blocks them, so that none is lost between the spawn and the loop; and ignores SIGPIPE. */
void terminal_signals_hold(bool owner);

/* A signalfd for them, non-blocking; a negative errno. */
int terminal_signals_open(bool owner);
