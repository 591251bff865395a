/* SPDX-License-Identifier: Apache-2.0 */
/* ebpf_observed.h - for tests of the backend `ebpf`, and of BACKEND where that is another one that
 * sees what comes of calls: small loads whose truth is known. */
#pragma once
#include "base/cleanup.h"
#include "fds.h"
#include "observed.h"
#include <fcntl.h>
#include <limits.h>

#ifndef BACKEND
#define BACKEND backend_ebpf
#endif

#define FILES   (1U << REEVE_FILE)
#define NETWORK (1U << REEVE_NETWORK)

static char directory[64];

static inline int make_directory(void **state _unused_)
{
	strcpy(directory, "/tmp/reeve-observe-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static inline int remove_directory(void **state _unused_)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static inline const char *path_in(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", directory, name);
	return path;
}

static inline void need_backend(void)
{
	static int works = -1;

	if (works < 0)
		works = backend_works(&BACKEND, REEVE_LAUNCHED_TREE);
	if (!works)
		skip();
}

/* Whether the backend has the programs at functions of the kernel. */
static inline bool at_functions(void)
{
	static int is = -1;
	struct backend_support support[REEVE_CATEGORIES] = { 0 };

	if (is < 0) {
		BACKEND.probe(REEVE_LAUNCHED_TREE, -1, support);
		is = strstr(support[REEVE_FILE].reason, "tier: functions") != NULL;
	}
	return is != 0;
}

static inline void observe(struct observed *o, unsigned categories, void (*role)(void *),
			   void *userdata)
{
	need_backend();
	observed_start(o, &BACKEND, categories, role, userdata);
	observed_finish(o);
	assert_int_equal(o->status, 0);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		assert_int_equal(o->missed[c], 0);
}

static inline struct reeve_event *event_at(const struct observed *o, enum reeve_kind kind,
					   const char *path)
{
	struct reeve_event *e = observed_path(o, kind, path);

	if (!e) {
		print_events(o);
		fail_msg("%s was not %s", path, reeve_kind_name(kind));
	}
	return e;
}

/* In a child of the test: its failures are its exit code. */
static inline void must(bool condition)
{
	if (!condition)
		_exit(1);
}

/* Each test has a directory of its own. */
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
