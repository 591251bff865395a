/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h - what the programs of the benchmarks share. They end at the first thing that goes wrong:
 * a figure from a run that half failed would be a lie. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

/* Says what failed, and why (errno), and ends. */
_Noreturn static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Seconds of CLOCK_MONOTONIC. */
static inline double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A number above 0, or the end. */
static inline size_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (n == 0 || *end != '\0' || *text == '-') {
		(void)fprintf(stderr, "%s: expected a number above 0\n", text);
		exit(2);
	}
	return (size_t)n;
}
