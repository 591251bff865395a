/* SPDX-License-Identifier: Apache-2.0 */
#include "core/link.h"

/* 2: SLOT_FD_CGROUP is the directory of the leaf, and not its cgroup.procs.
 * 3: LINK_BORROW, LINK_LENT. */
const uint32_t link_version = 3;
