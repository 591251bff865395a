/* SPDX-License-Identifier: Apache-2.0 */
/* capture_run.h - shared by capture.c and capture_run.c. */
#pragma once
#include "core/capture.h"

/* Before P is spliced from: an open pipe that was is not read without waiting any more
 * (pipe_clear_nowait() in Linux 6.18 fs/splice.c), so it is opened a second time. Without success P
 * itself is spliced from, and not read again. */
void capture_reopen(struct capture_stream *s);

/* Before up to `n` bytes are put behind the head. */
void capture_give_notice_of(const struct capture_stream *s, uint64_t n);
