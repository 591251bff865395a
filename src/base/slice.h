/* SPDX-License-Identifier: Apache-2.0 */
/* slice.h - how soon a process is run that was woken. */
#pragma once
#include <stdbool.h>

/* Asks for the shortest time slice: who wants the processor for short is run earlier, instead of
 * behind what a process that computes has left of its slice. For processes that somebody waits for
 * and that sleep again soon. Children do not inherit it. Before Linux 6.12, and where the process
 * has another policy or priority than the usual one, nothing happens. Returns whether the kernel
 * took it. Source: sched_setattr(2), Documentation/scheduler/sched-eevdf.rst. */
bool slice_shorten(void);

/* The slice that processes have of themselves, again. */
void slice_restore(void);
