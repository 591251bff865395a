/* SPDX-License-Identifier: Apache-2.0 */
/* surroundings.h - where this process runs, for reasons that are true there. */
#pragma once
#include <stdbool.h>

/* Not in one of a container: root there is not root of the machine. True when it cannot be known.
 */
bool is_in_first_user_namespace(void);
bool is_in_first_pid_namespace(void);

/* Whether it has the capability, in its own user namespace. */
bool has_capability(int capability);

/* The number in a file of /proc/sys; `otherwise` when there is none. */
int sysctl_number(const char *path, int otherwise);
