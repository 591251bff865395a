/* SPDX-License-Identifier: Apache-2.0 */
/* pipes.h - what the kernel knows of a pipe: pipe(7), FIONREAD, F_SETPIPE_SZ. */
#pragma once
#include <stdint.h>

/* Bytes that wait in the pipe; 0 when that cannot be told. Also for a pty's master. */
uint64_t pipe_fill(int fd);

/* Reads and throws away all that is in the (non-blocking) pipe. Returns how many bytes. */
uint64_t pipe_empty(int fd);

/* pipe2() with CLOEXEC, both ends non-blocking where asked, sized to `size` bytes when that is not
 * 0 and the kernel allows (past the user's soft page budget it does not; that is no error). */
int pipe_make(int ret[2], int nonblock_read, int nonblock_write, unsigned size);
