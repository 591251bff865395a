/* SPDX-License-Identifier: Apache-2.0 */
/* wait.h - a result of waiting as JSON. */
#pragma once
#include "engine/wait.h"

/* {"fired","next","status","exitCode",...}: a new reference. */
json_t *render_wait(const struct session *s, const struct wait_result *r);
