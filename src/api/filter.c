/* SPDX-License-Identifier: Apache-2.0 */
#include "api/filter.h"
#include <string.h>

static bool has_label(const struct session *s, const char *label)
{
	size_t n = strlen(label);

	for (char **p = s->labels; p && *p; p++)
		if (strcmp(*p, label) == 0 ||
		    (!strchr(label, '=') && strncmp(*p, label, n) == 0 && (*p)[n] == '='))
			return true;
	return false;
}

bool session_fits(const struct session *s, const struct session_filter *f)
{
	if (f->status && strcmp(session_status(s), f->status) != 0)
		return false;
	if (f->label && !has_label(s, f->label))
		return false;
	return !f->originator || (s->originator && strcmp(s->originator, f->originator) == 0);
}

bool session_is_live(const struct session *s)
{
	return !session_ended(s) || session_tree_alive(s);
}
