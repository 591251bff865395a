/* SPDX-License-Identifier: Apache-2.0 */
/* leftovers.h - says what a command has left running, where that is a failure. */
#pragma once
#include "cli/cli.h"

/* Of a session that was started with --leftovers fail: prints on stderr which processes its command
 * left when it ended, and what can be done about it; nothing when there were none. Whatever fails
 * is passed over: the exit status tells of it, too. */
void leftovers_tell(struct cli *cli, const char *session);
