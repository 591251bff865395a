/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/backend.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void run_event(struct backend_run *run, struct reeve_event *e, const struct backend_origin *origin)
{
	static const struct backend_origin nowhere = { .ring = BACKEND_RINGS };

	if (run_wants(run, e->category))
		run->sink.event(run->sink.userdata, e, origin ? origin : &nowhere);
}

void run_missed(struct backend_run *run, enum reeve_category category, uint64_t n)
{
	if (n > 0 && run_wants(run, category))
		run->sink.missed(run->sink.userdata, category, n);
}

void support_set(struct backend_support ret[REEVE_CATEGORIES], unsigned categories,
		 enum reeve_support support, const char *format, ...)
{
	char reason[BACKEND_REASON_MAX];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++) {
		if ((categories & category_bit((enum reeve_category)i)) == 0)
			continue;
		ret[i].support = support;
		strcpy(ret[i].reason, reason);
	}
}

const struct backend *backend_find(const char *name)
{
	for (size_t i = 0; backends[i]; i++) {
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i];
	}
	return NULL;
}
