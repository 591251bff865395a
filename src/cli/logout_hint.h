/* SPDX-License-Identifier: Apache-2.0 */
/* logout_hint.h - says once of each daemon that logging out will end its sessions, if it will. */
#pragma once
#include "base/paths.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Looks, and prints on stderr. Whatever fails is passed over: it is a hint. */
void logout_hint(const struct paths *paths);

/* Whether nothing was noted yet in `dir` of the daemon with this keeper; notes it. */
bool logout_hint_is_due(const char *dir, pid_t keeper, uint64_t start_time);
