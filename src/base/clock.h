/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the clocks, and times as RFC 3339 text. */
#pragma once
#include <stdint.h>

#define CLOCK_TEXT_MAX 32

/* Since the Unix epoch. */
uint64_t clock_realtime_ns(void);
uint64_t clock_realtime_us(void);
uint64_t clock_realtime_ms(void);

/* Steady, from an arbitrary start; stands still while the machine sleeps. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);

/* The processor time that the calling thread has used. */
uint64_t clock_processor_us(void);

/* Steady since boot, sleep included: for deadlines that other processes share. */
uint64_t clock_boottime_ms(void);

/* "2026-11-20T10:41:00.123Z". Times after the year 9999 are given as its end. Returns `buf`. */
char *clock_format(uint64_t realtime_ms, char buf[CLOCK_TEXT_MAX]);

/* Any RFC 3339 time ("2026-11-20T11:41:00+01:00") as ms since the epoch, more digits cut off.
 * -EINVAL: not of this form. -ERANGE: before 1970. */
int clock_parse(const char *text, uint64_t *ret);
