/* SPDX-License-Identifier: Apache-2.0 */
/* kept.h - descriptors that the keeper holds for the engine beside those of slots, so that what
 * hangs on them (BPF programs and maps, listeners of notifications) outlives an engine.
 *
 * They stand in numbered places. Place 0 is a memfd with the table of the others' names, which only
 * the engine writes: a descriptor goes to the keeper first, then its name is stored, so that a
 * name without a descriptor is one of an engine that was killed between, and means nothing. */
#pragma once
#include "core/control.h"
#include "core/link.h"

#define KEPT_MAX      512U
#define KEPT_NAME_MAX 48U
#define KEPT_FD       SLOT_FD_MEMORY /* which descriptor of LINK_KEEP and LINK_KEPT it is */

struct kept_entry {
	struct word used; /* E: 1 while `name` is valid */
	char name[KEPT_NAME_MAX];
};

#define KEPT_SIZE (KEPT_MAX * sizeof(struct kept_entry))
