/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - numbers, durations and sizes as people write them. The whole text must match: no white
 * space, no sign. -EINVAL: not of this form. -ERANGE: of this form, but out of range.
 * (The stop plan is in core/stopplan.h.) */
#pragma once
#include <stdint.h>

#define DURATION_MAX_MS   (3653ULL * 24 * 60 * 60 * 1000) /* ten years */
#define DURATION_TEXT_MAX 40

/* Decimal digits without leading zeros; `min` and `max` are included. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* "250ms", "5s", "1.5h", "1h30m": units ms, s, m, h, d, the larger first and each once. A number
 * without a unit is refused, "0" too. What is below a millisecond is rounded up. At most
 * DURATION_MAX_MS. */
int parse_duration_ms(const char *text, uint64_t *ret);

/* "4096", "64K", "64KiB", "1.5G": powers of 1024, any case; B, K, M, G, T, alone or with B or iB.
 * A fraction of a byte is rounded up. */
int parse_size(const char *text, uint64_t *ret);

/* The inverse of parse_duration_ms for any value: "0s", "1s500ms", "1h30m". Returns `buf`. */
char *format_duration(uint64_t ms, char buf[DURATION_TEXT_MAX]);
