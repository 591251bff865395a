/* SPDX-License-Identifier: Apache-2.0 */
/* login_env.h - the minimal environment of a command whose spawn request names none: HOME, LOGNAME,
 * USER, SHELL from the user database, PATH=/usr/local/bin:/usr/bin:/bin (with the sbin directories
 * for root), and the daemon's LANG when it has one. Never the daemon's own environment. */
#pragma once
#include <stdbool.h>

/* NULL-terminated `KEY=value`, for text_list_free; NULL without memory. With `terminal` also
 * TERM=xterm-256color. */
char **login_env_make(bool terminal);

/* The user's home directory, "/" when none is known: as `env` has it, which login_env_make has
 * made, or looked up when that is NULL. The caller's; NULL without memory. */
char *login_env_home(char *const *env);
