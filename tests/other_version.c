/* SPDX-License-Identifier: Apache-2.0 */
/* Linked in place of src/core/link_version.c. */
#include "core/link.h"

const uint32_t link_version = 1000000;
