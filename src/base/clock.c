/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/cleanup.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_S     (24 * 60 * 60)
#define LATEST_MS 253402300799999ULL /* 9999-12-31T23:59:59.999Z */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t clock_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t clock_realtime_us(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000;
}

uint64_t clock_realtime_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000;
}

uint64_t clock_monotonic_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t clock_monotonic_us(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_processor_us(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1000;
}

uint64_t clock_boottime_ms(void)
{
	return clock_ns(CLOCK_BOOTTIME) / 1000000;
}

static bool is_leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days before the first of January of a year, from the year 1 on. */
static int64_t days_before_year(unsigned year)
{
	int64_t past = (int64_t)year - 1;

	return past * 365 + past / 4 - past / 100 + past / 400;
}

/* gmtime_r would read the time zone's files, which a log line must not wait for. */
char *clock_format(uint64_t realtime_ms, char buf[CLOCK_TEXT_MAX])
{
	uint64_t ms = MIN(realtime_ms, (uint64_t)LATEST_MS);
	unsigned second = (unsigned)(ms / 1000 % DAY_S);
	int64_t days = (int64_t)(ms / 1000 / DAY_S) + days_before_year(1970);
	unsigned year = (unsigned)(days * 400 / 146097) + 1, month = 1;

	if (days_before_year(year) > days)
		year--;
	else if (days_before_year(year + 1) <= days)
		year++;
	days -= days_before_year(year);
	while (days >= days_in_month(year, month))
		days -= days_in_month(year, month++);
	snprintf(buf, CLOCK_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000, month,
		 (unsigned)days % 100 + 1, second / 3600, second / 60 % 60, second % 60,
		 (unsigned)(ms % 1000));
	return buf;
}

/* Reads `text` along a shape in which a letter stands for a digit of field 'A' + index, and
 * anything else for itself (`T`, which RFC 3339 lets be `t` or a space, too). */
static int read_shape(const char **text, const char *shape, unsigned *fields)
{
	const char *p = *text;

	for (; *shape; shape++, p++) {
		if (*shape >= 'A' && *shape <= 'F') {
			if (*p < '0' || *p > '9')
				return -EINVAL;
			fields[*shape - 'A'] = fields[*shape - 'A'] * 10 + (unsigned)(*p - '0');
		} else if (*shape == 'T' ? !*p || !strchr("Tt ", *p) : *p != *shape) {
			return -EINVAL;
		}
	}
	*text = p;
	return 0;
}

static unsigned read_fraction_ms(const char **text)
{
	const char *p = *text;
	unsigned ms = 0, scale = 100;

	if (*p != '.' || p[1] < '0' || p[1] > '9')
		return 0;
	for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
		ms += (unsigned)(*p - '0') * scale;
	*text = p;
	return ms;
}

/* "Z" or "+01:00", to the end of the text, as seconds east of UTC. */
static int read_zone(const char *text, int *ret)
{
	unsigned f[2] = { 0 };
	int sign = *text == '-' ? -1 : 1;

	if ((*text == 'Z' || *text == 'z') && !text[1]) {
		*ret = 0;
		return 0;
	}
	if (*text != '+' && *text != '-')
		return -EINVAL;
	text++;
	if (read_shape(&text, "AA:BB", f) < 0 || *text || f[0] > 23 || f[1] > 59)
		return -EINVAL;
	*ret = sign * (int)(f[0] * 3600 + f[1] * 60);
	return 0;
}

int clock_parse(const char *text, uint64_t *ret)
{
	unsigned f[6] = { 0 }, ms;
	int64_t seconds;
	int zone;

	if (read_shape(&text, "AAAA-BB-CCTDD:EE:FF", f) < 0)
		return -EINVAL;
	ms = read_fraction_ms(&text);
	if (read_zone(text, &zone) < 0)
		return -EINVAL;
	/* 60 is a leap second, which the Unix clock counts as the next one. */
	if (f[0] < 1 || f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > days_in_month(f[0], f[1]) ||
	    f[3] > 23 || f[4] > 59 || f[5] > 60)
		return -EINVAL;
	seconds = days_before_year(f[0]) - days_before_year(1970) + f[2] - 1;
	for (unsigned month = 1; month < f[1]; month++)
		seconds += days_in_month(f[0], month);
	seconds = seconds * DAY_S + (int64_t)(f[3] * 3600 + f[4] * 60 + f[5]) - zone;
	if (seconds < 0)
		return -ERANGE;
	*ret = (uint64_t)seconds * 1000 + ms;
	return 0;
}
