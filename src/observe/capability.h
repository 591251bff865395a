/* SPDX-License-Identifier: Apache-2.0 */
/* capability.h - the matrix behind reeve_capabilities: each category once, in its order. */
#pragma once
#include "reeve/observer.h"

#define REASON_MAX 768U

struct reeve_capabilities {
	struct reeve_capability entries[REEVE_CATEGORIES];
	char reasons[REEVE_CATEGORIES][REASON_MAX];
};

/* A matrix whose categories are all unavailable, backend "none", reason "not negotiated". NULL
 * without memory. */
struct reeve_capabilities *capabilities_new(void);

/* Fills one entry. `backend` must be static; `reason` is copied, and cut at a character boundary
 * when it is too long. */
void capabilities_set(struct reeve_capabilities *c, enum reeve_category category,
		      enum reeve_support support, const char *backend, const char *reason);
