/* SPDX-License-Identifier: Apache-2.0 */
/* card.h - what never changes of a session's JSON, as text made once: a list of sessions would
 * otherwise parse the metadata and look for secrets in the command of each of them, each time. */
#pragma once
#include "engine/session.h"

/* The members without the braces around them. `meta` may be NULL: what is known without it. The
 * caller's; NULL without memory. */
char *card_make(const struct session *s, const json_t *meta);
