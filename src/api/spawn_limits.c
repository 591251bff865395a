/* SPDX-License-Identifier: Apache-2.0 */
#include "api/spawn_limits.h"
#include "base/limits.h"
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool read_limit_value(const json_t *value, uint64_t *ret)
{
	if (json_is_null(value)) {
		*ret = RLIM_INFINITY;
		return true;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

static int read_limit(struct spec_header *h, const char *name, const json_t *pair,
		      struct error *err)
{
	const struct limit_name *known = limit_names;
	struct spec_limit limit;

	while (known->name && strcmp(known->name, name) != 0)
		known++;
	if (!known->name)
		return error_set(err, ERROR_INVALID_ARGUMENT, "limits: \"%.100s\" is not known",
				 name);
	if (!json_is_array(pair) || json_array_size(pair) != 2 ||
	    !read_limit_value(json_array_get(pair, 0), &limit.soft) ||
	    !read_limit_value(json_array_get(pair, 1), &limit.hard) || limit.soft > limit.hard)
		return error_set(
			err, ERROR_INVALID_ARGUMENT,
			"limits.%s: expected [soft, hard], numbers or null for none, the soft "
			"one not above the hard one",
			name);
	h->limits[known->resource] = limit;
	h->limits_set |= 1U << known->resource;
	return 0;
}

/* capabilities(7) */
static bool may(unsigned capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1U << capability;
}

/* A limit above the daemon's own hard one cannot be had; the child gets the daemon's. */
static void warn_limits(struct spec_header *h, json_t *warnings)
{
	for (const struct limit_name *l = limit_names; l->name; l++) {
		struct spec_limit *want = &h->limits[l->resource];
		struct rlimit own;

		if (!(h->limits_set & 1U << l->resource) ||
		    getrlimit((__rlimit_resource_t)l->resource, &own) < 0 ||
		    want->hard <= own.rlim_max)
			continue;
		want->hard = own.rlim_max;
		want->soft = MIN(want->soft, want->hard);
		json_array_append_new(
			warnings, json_sprintf("limits.%s: lowered to the daemon's own hard limit "
					       "%llu",
					       l->name, (unsigned long long)own.rlim_max));
	}
}

/* A higher priority than the daemon's own neither, setpriority(2). */
static void warn_nice(int64_t nice, json_t *warnings)
{
	int own = getpriority(PRIO_PROCESS, 0);
	struct rlimit limit;

	if (nice >= own || getrlimit(RLIMIT_NICE, &limit) < 0 ||
	    20 - nice <= (int64_t)MIN(limit.rlim_cur, 40ULL))
		return;
	json_array_append_new(warnings,
			      json_sprintf("nice: %d as the daemon's, not %d", own, (int)nice));
}

void spawn_limits_warn(struct spec_header *h, const int64_t *nice, json_t *warnings)
{
	if (!may(CAP_SYS_RESOURCE))
		warn_limits(h, warnings);
	if (nice && !may(CAP_SYS_NICE))
		warn_nice(*nice, warnings);
}

int spawn_limits_read(struct spec_header *h, const json_t *limits, uint64_t nofile_soft,
		      struct error *err)
{
	struct rlimit own;
	const char *name;
	json_t *pair;

	/* The daemon raised its own soft limit on descriptors; that is not for children. */
	if (nofile_soft > 0 && getrlimit(RLIMIT_NOFILE, &own) == 0) {
		h->limits[RLIMIT_NOFILE] =
			(struct spec_limit){ MIN(nofile_soft, own.rlim_max), own.rlim_max };
		h->limits_set |= 1U << RLIMIT_NOFILE;
	}
	if (limits && !json_is_object(limits))
		return error_set(err, ERROR_INVALID_ARGUMENT, "limits: expected an object");
	json_object_foreach((json_t *)limits, name, pair)
	{
		int r = read_limit(h, name, pair, err);

		if (r < 0)
			return r;
	}
	return 0;
}
