/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.h - regular expressions over bytes (PCRE2), with bounds on the time a match may take. */
#pragma once
#include "base/error.h"
#include <stddef.h>

#define PATTERN_MAX 4096U /* bytes of the expression */

struct pattern;

/* ERROR_INVALID_ARGUMENT says what is wrong and where. `what` names the parameter. */
int pattern_new(struct pattern **ret, const char *text, const char *what, struct error *err);

/* Whether it matches somewhere in the bytes; `ret_span` (may be NULL) gets begin and end. A match
 * that would take too long counts as none. */
bool pattern_match(const struct pattern *p, const char *data, size_t n, size_t ret_span[2]);

/* Frees it; returns NULL, NULL is allowed. */
struct pattern *pattern_free(struct pattern *p);
