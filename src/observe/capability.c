/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/capability.h"
#include "base/buffer.h"
#include "base/text.h"
#include <stdlib.h>
#include <string.h>

#define SUMMARY_MAX (64 * KiB)
#define COLUMNS     4U

struct reeve_capabilities *capabilities_new(void)
{
	struct reeve_capabilities *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++)
		capabilities_set(c, (enum reeve_category)i, REEVE_UNAVAILABLE, "none",
				 "not negotiated");
	return c;
}

void capabilities_set(struct reeve_capabilities *c, enum reeve_category category,
		      enum reeve_support support, const char *backend, const char *reason)
{
	struct reeve_capability *entry = &c->entries[category];
	char *text = c->reasons[category];
	size_t n = strnlen(reason, REASON_MAX - 1);

	memcpy(text, reason, n);
	n -= reason[n] == '\0' ? 0 : text_utf8_incomplete(text, n);
	text[n] = '\0';
	entry->category = category;
	entry->support = support;
	entry->backend = backend;
	entry->reason = text;
}

struct reeve_capabilities *reeve_capabilities_free(struct reeve_capabilities *c)
{
	free(c);
	return NULL;
}

const struct reeve_capability *reeve_capabilities_entries(const struct reeve_capabilities *c,
							  size_t *ret_n)
{
	*ret_n = REEVE_CATEGORIES;
	return c->entries;
}

const struct reeve_capability *reeve_capabilities_get(const struct reeve_capabilities *c,
						      enum reeve_category category)
{
	return (unsigned)category < REEVE_CATEGORIES ? &c->entries[category] : NULL;
}

enum reeve_support reeve_capabilities_support(const struct reeve_capabilities *c,
					      enum reeve_category category)
{
	const struct reeve_capability *entry = reeve_capabilities_get(c, category);

	return entry ? entry->support : REEVE_UNAVAILABLE;
}

bool reeve_capabilities_is_supported(const struct reeve_capabilities *c,
				     enum reeve_category category)
{
	return reeve_capabilities_support(c, category) == REEVE_SUPPORTED;
}

size_t reeve_capabilities_to_table_rows(const struct reeve_capabilities *c,
					struct reeve_capability_row *rows, size_t max)
{
	for (unsigned i = 0; i < REEVE_CATEGORIES && i < max; i++) {
		const struct reeve_capability *entry = &c->entries[i];

		rows[i].cells[0] = reeve_category_name(entry->category);
		rows[i].cells[1] = reeve_support_name(entry->support);
		rows[i].cells[2] = entry->backend;
		rows[i].cells[3] = entry->reason;
	}
	return REEVE_CATEGORIES;
}

int reeve_capabilities_render_summary(const struct reeve_capabilities *c, char **ret)
{
	_cleanup_(buffer_done) struct buffer b;
	struct reeve_capability_row rows[REEVE_CATEGORIES];
	size_t n = reeve_capabilities_to_table_rows(c, rows, ARRAY_SIZE(rows));
	size_t widths[COLUMNS] = { 0 };
	int r;

	buffer_init(&b, SUMMARY_MAX);
	for (size_t i = 0; i < n; i++) {
		for (size_t column = 0; column < COLUMNS - 1; column++)
			widths[column] = MAX(widths[column], strlen(rows[i].cells[column]));
	}
	r = buffer_append_text(&b, "observer capabilities:\n");
	for (size_t i = 0; r >= 0 && i < n; i++) {
		const char *const *cells = rows[i].cells;

		r = buffer_printf(&b, "  %-*s  %-*s  %-*s  %s\n", (int)widths[0], cells[0],
				  (int)widths[1], cells[1], (int)widths[2], cells[2], cells[3]);
	}
	if (r < 0)
		return r;
	return buffer_take(&b, ret);
}
