/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/settings.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/ini.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/paths.h"
#include "core/control.h"
#include <errno.h>
#include <string.h>

#define FILE_MAX (64 * KiB)

enum kind { KIND_DURATION, KIND_COUNT };

struct setting {
	const char *section, *key;
	enum kind kind;
	size_t offset; /* of its uint64_t in struct settings */
};

static const struct setting known[] = {
	{ "sessions", "keep-for", KIND_DURATION, offsetof(struct settings, keep_for_ms) },
	{ "sessions", "keep-at-least", KIND_DURATION, offsetof(struct settings, keep_at_least_ms) },
	{ "sessions", "keep-count", KIND_COUNT, offsetof(struct settings, keep_count) },
};

const struct settings settings_default = {
	.keep_for_ms = 7ULL * 24 * 60 * 60 * 1000,
	.keep_at_least_ms = 10ULL * 60 * 1000,
	.keep_count = 1000,
};

struct reading {
	struct settings *settings;
	const char *path;
	unsigned n_wrong;
};

static int set(const struct setting *s, const char *value, struct settings *ret, struct error *e)
{
	uint64_t number;

	if (s->kind == KIND_DURATION && parse_duration_ms(value, &number) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "%s: \"%.100s\" is no duration such as 90s, 12h or 7d", s->key,
				 value);
	if (s->kind == KIND_COUNT && parse_u64(value, 0, CONTROL_SLOTS, &number) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "%s: \"%.100s\" is no number from 0 to %u", s->key, value,
				 (unsigned)CONTROL_SLOTS);
	memcpy((char *)ret + s->offset, &number, sizeof(number));
	return 0;
}

static int on_value(const char *section, const char *key, const char *value, void *data,
		    struct error *e)
{
	struct reading *reading = data;
	bool section_known = false;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(known[i].section, section) != 0)
			continue;
		section_known = true;
		if (strcmp(known[i].key, key) == 0)
			return set(&known[i], value, reading->settings, e);
	}
	if (section_known)
		return error_set(e, ERROR_INVALID_ARGUMENT, "[%s] has no setting %.100s", section,
				 key);
	return error_set(e, ERROR_INVALID_ARGUMENT, "%.100s: there is no section [%.100s]", key,
			 section);
}

static void on_wrong(unsigned line, const char *why, void *data)
{
	struct reading *reading = data;

	reading->n_wrong++;
	log_warn("%s:%u: %s; the line is passed over", reading->path, line, why);
}

unsigned settings_read(struct settings *ret, const char *path, const char *text, size_t n)
{
	struct reading reading = { .settings = ret, .path = path };

	ini_parse(text, n, on_value, on_wrong, &reading);
	return reading.n_wrong;
}

void settings_load(struct settings *ret)
{
	_cleanup_(freep) char *path = NULL, *text = NULL;
	struct error e = { 0 };
	size_t n;
	int r;

	*ret = settings_default;
	if (paths_config(&path, &e) < 0) {
		log_warn("no configuration: %s", e.message);
		return;
	}
	r = fd_read_file(path, FILE_MAX, &text, &n);
	if (r < 0 && r != -ENOENT)
		log_warn("%s: %s; the defaults hold", path, strerror(-r));
	if (r >= 0)
		settings_read(ret, path, text, n);
}
