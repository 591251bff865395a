/* SPDX-License-Identifier: Apache-2.0 */
/* random.h - unpredictable bytes from the kernel. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Fills `n` bytes. A negative errno only where the kernel has no getrandom(2). */
int random_bytes(void *p, size_t n);

/* Ends the process when there is no randomness: nothing safe could go on. */
uint64_t random_u64(void);
