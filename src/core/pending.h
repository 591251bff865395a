/* SPDX-License-Identifier: Apache-2.0 */
/* pending.h - where a slot's event memory (SLOT_FD_EVENTS) says which call an engine has received
 * from the listener and not answered yet: a 64-bit id, 0 for none. The keeper knows no more of it.
 */
#pragma once
#include "core/entry.h"

#define EVENTS_PENDING_AT 32
