/* SPDX-License-Identifier: Apache-2.0 */
/* spawn_limits.h - resource limits and priority of a command: what is asked for, what can be had.
 */
#pragma once
#include "base/json.h"
#include "core/spec.h"

/* Takes over `limits`, {"nofile": [soft, hard], ...}, NULL for none. `nofile_soft`: the soft limit
 * on descriptors when it says none; 0: the daemon's. */
int spawn_limits_read(struct spec_header *h, const json_t *limits, uint64_t nofile_soft,
		      struct error *err);

/* Lowers what the daemon may not give to what it may, and appends a line for each to `warnings`.
 * `nice`: the priority that is asked for, NULL for none. */
void spawn_limits_warn(struct spec_header *h, const int64_t *nice, json_t *warnings);
