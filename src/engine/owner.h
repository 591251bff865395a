/* SPDX-License-Identifier: Apache-2.0 */
/* owner.h - sessions that end when a process is gone: the attached client (onDisconnect stop), or
 * any process that was named (withPid). A pidfd tells; pid and start time stand in the record, so
 * that the next engine watches the same process and never one that got its pid. */
#pragma once
#include "engine/session.h"

/* Notes the process of the controlling client. The record says whether it matters. */
void owner_note_client(struct session *s, pid_t pid);
/* It said goodbye: nothing of it is watched any more. */
void owner_forget_client(struct session *s);
/* Ties the session to `pid`. -ESRCH when there is no such process. */
int owner_tie(struct session *s, pid_t pid);
/* Watches again what the record names: for an engine that has loaded the session. */
void owner_resume(struct session *s);
/* Stops watching. */
void owner_done(struct session *s);
