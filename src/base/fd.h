/* SPDX-License-Identifier: Apache-2.0 */
/* fd.h - file descriptors: whole reads and writes, passing over sockets, sealed memory.
 * Every descriptor made here is CLOEXEC from birth. Thread-safe. */
#pragma once
#include "base/cleanup.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FD_PASS_MAX 16U /* descriptors in one message */

/* Closes `fd` when it is not negative. Returns -1, so that `fd = fd_close(fd)`; keeps errno. */
int fd_close(int fd);

int fd_set_nonblock(int fd, bool on);

/* Writes all of it, through EINTR and partial writes. -EAGAIN from a non-blocking `fd` is returned
 * as it is: how much was written is then unknown. */
int fd_write_all(int fd, const void *p, size_t n);

/* Reads until `n` bytes or the end of file. Returns how many, or a negative errno. */
ssize_t fd_read_full(int fd, void *p, size_t n);

/* Reads a whole file, one without a size (/proc) too. `*ret` is NUL-terminated behind its
 * `*ret_size` bytes and is the caller's; `ret_size` may be NULL. -EFBIG when it holds more than
 * `max` bytes. */
int fd_read_file(const char *path, size_t max, char **ret, size_t *ret_size);
int fd_read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size);

/* Sends one message of `n` > 0 bytes with up to FD_PASS_MAX descriptors (SCM_RIGHTS); raises no
 * SIGPIPE. -EMSGSIZE when a stream socket took only a part. The caller keeps its descriptors. */
int fd_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds);

/* Receives one message. Returns its size, or 0 at the end; `*ret_n_fds` (NULL is allowed when
 * `max_fds` is 0) descriptors are then in `fds`, owned by the caller. A message that does not fit
 * into `max` bytes, or brings more than `max_fds` descriptors, is -EMSGSIZE; one that brings some
 * that this process has no room for is -EMFILE, and its bytes are in `data`. Either is gone, and
 * all its descriptors are closed. */
ssize_t fd_recv(int sock, void *data, size_t max, int *fds, size_t max_fds, size_t *ret_n_fds);

/* Makes a memfd of `size` zero bytes that can be sealed. Returns it, or a negative errno. */
int fd_memfd(const char *name, uint64_t size);

/* Nobody can change content, size or seals any more. -EBUSY while a writable mapping exists. */
int fd_seal(int fd);

/* Raises the soft RLIMIT_NOFILE to the hard one; `ret_limit` (NULL is allowed) gets the result. */
int fd_raise_nofile(uint64_t *ret_limit);
