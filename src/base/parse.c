/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parse.h"
#include "base/cleanup.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FRACTION_DIGITS 9

__extension__ typedef unsigned __int128 wide;

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits at `*p` as a number; moves `*p` behind them. */
static int take_digits(const char **p, uint64_t *ret)
{
	const char *start = *p;
	uint64_t value = 0;

	for (; is_digit(**p); (*p)++)
		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(**p - '0'), &value))
			return -ERANGE;
	if (*p == start || (*start == '0' && *p - start > 1))
		return -EINVAL;
	*ret = value;
	return 0;
}

/* A number that may have a fraction, exact: whole + fraction / scale. */
struct decimal {
	uint64_t whole, fraction, scale;
};

static int take_decimal(const char **p, struct decimal *ret)
{
	struct decimal d = { .scale = 1 };
	int r = take_digits(p, &d.whole);

	if (r < 0)
		return r;
	if (**p == '.') {
		int digits = 0;

		for ((*p)++; is_digit(**p) && digits < FRACTION_DIGITS; (*p)++, digits++) {
			d.fraction = d.fraction * 10 + (uint64_t)(**p - '0');
			d.scale *= 10;
		}
		if (digits == 0 || is_digit(**p))
			return -EINVAL;
	}
	*ret = d;
	return 0;
}

/* `d` units, rounded up to a whole number. */
static int decimal_times(const struct decimal *d, uint64_t unit, uint64_t *ret)
{
	wide value = (wide)d->whole * unit + ((wide)d->fraction * unit + d->scale - 1) / d->scale;

	if (value > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)value;
	return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value;
	int r = take_digits(&text, &value);

	if (r == -ERANGE) {
		while (is_digit(*text))
			text++;
		return *text ? -EINVAL : -ERANGE;
	}
	if (r < 0 || *text)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

/* The larger first. A unit is matched in the order of this table, and each only once. */
static const struct {
	const char *name;
	uint64_t ms;
} units[] = {
	{ "d", 24ULL * 60 * 60 * 1000 },
	{ "h", 60ULL * 60 * 1000 },
	{ "m", 60ULL * 1000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

/* The unit at `*p`, from row `from` on; moves `*p` behind it. */
static int take_unit(const char **p, size_t from)
{
	size_t n = strcspn(*p, "0123456789.");

	for (size_t i = from; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == n && !strncmp(*p, units[i].name, n)) {
			*p += n;
			return (int)i;
		}
	return -EINVAL;
}

int parse_duration_ms(const char *text, uint64_t *ret)
{
	uint64_t total = 0;
	size_t from = 0;

	do {
		struct decimal d;
		uint64_t part;
		int r, unit;

		r = take_decimal(&text, &d);
		if (r < 0)
			return r;
		unit = take_unit(&text, from);
		if (unit < 0)
			return unit;
		from = (size_t)unit + 1;
		r = decimal_times(&d, units[unit].ms, &part);
		if (r < 0 || part > DURATION_MAX_MS || part + total > DURATION_MAX_MS)
			return -ERANGE;
		total += part;
	} while (*text);
	*ret = total;
	return 0;
}

int parse_size(const char *text, uint64_t *ret)
{
	static const char letters[] = "bkmgt";
	struct decimal d;
	uint64_t unit = 1;
	int r = take_decimal(&text, &d);

	if (r < 0)
		return r;
	if (*text) {
		const char *letter = strchr(letters, *text | 0x20);

		if (!letter)
			return -EINVAL;
		unit <<= 10 * (letter - letters);
		text++;
		if (unit > 1 && *text && strcasecmp(text, "b") != 0 && strcasecmp(text, "ib") != 0)
			return -EINVAL;
		if (unit == 1 && *text)
			return -EINVAL;
	}
	return decimal_times(&d, unit, ret);
}

char *format_duration(uint64_t ms, char buf[DURATION_TEXT_MAX])
{
	size_t n = 0;

	if (ms == 0)
		return strcpy(buf, "0s");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t count = ms / units[i].ms;

		if (count > 0)
			n += (size_t)snprintf(buf + n, DURATION_TEXT_MAX - n, "%llu%s",
					      (unsigned long long)count, units[i].name);
		ms -= count * units[i].ms;
	}
	return buf;
}
