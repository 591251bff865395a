/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h - where the daemon of this user lives.
 *
 * $REEVE_DIR when it is set; else reeve/<machine-id>/ in $XDG_STATE_HOME or ~/.local/state, which
 * survives logout. Where that is on a network file system, or too long for a socket's address,
 * all of it is in /tmp/reeve-<uid>/. */
#pragma once
#include "base/error.h"
#include <stdint.h>
#include <sys/types.h>

#define PATHS_SOCKET_MAX 107U /* sun_path without its NUL, unix(7) */

struct paths {
	char *dir; /* absolute, without a slash at its end */
	char *socket, *lock, *log, *roster;
	char *runtime_link; /* a symbolic link to `dir` goes here; NULL for none */
	bool fallback;      /* `dir` is the one in /tmp */
	bool chosen;        /* `dir` is $REEVE_DIR */
};

/* Finds the names; makes nothing. An empty variable counts as unset, a relative one is refused. A
 * $REEVE_DIR too long for the socket is refused: the caller chose it, so nothing else is tried. */
int paths_resolve(struct paths *ret, struct error *e);

/* The user's configuration file, whether it is there or not: `config` in $REEVE_DIR when that is
 * set, else reeve/config in $XDG_CONFIG_HOME or ~/.config. */
int paths_config(char **ret, struct error *e);

/* Makes `dir` (0700) and its parents. Refuses one that another user owns, or that others could
 * write to; the one in /tmp must not be a symbolic link, either. reeve's own are set to 0700, a
 * $REEVE_DIR that others can only read stays as it is. */
int paths_create(const struct paths *p, struct error *e);

/* Frees the names. For _cleanup_; NULL is allowed. */
void paths_done(struct paths *p);

/* The home directory of `uid` in the text of a passwd(5) file; -ENOENT when there is none.
 * (getpwuid needs shared libraries, which a static program does not have.) */
int paths_passwd_home(const char *passwd, uid_t uid, char **ret);

/* Whether a file system of this statfs(2) type is shared with other machines, or may be. */
bool paths_is_network(uint32_t type);
