/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_notify.h - what the backend `seccomp-user-notify` offers beyond its table. */
#pragma once
#include "observe/backend.h"

/* Nothing is kept in that memory any more, which is about to go. */
void seccomp_notify_let_go(struct host *h, const void *pending);

/* Answers a listener whose events nobody wants to have: each call is let pass, until the last
 * process under the filter is gone. Without that they would wait for ever. `listener` is borrowed;
 * `pending` as in a target, valid until host_free() or seccomp_notify_let_go(). -ENOMEM or another
 * errno. */
int seccomp_notify_drain(struct host *h, int listener, void *pending);
