/* SPDX-License-Identifier: Apache-2.0 */
/* filter.h - which sessions are meant. */
#pragma once
#include "engine/session.h"

struct session_filter {
	const char *status, *label, *originator; /* NULL: any. label: `key` or `key=value` */
};

bool session_fits(const struct session *s, const struct session_filter *f);

/* Its command runs, or something of its tree does. */
bool session_is_live(const struct session *s);
