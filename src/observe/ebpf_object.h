/* SPDX-License-Identifier: Apache-2.0 */
/* ebpf_object.h - the programs of bpf/, each compiled to an object file. tools/embed.py makes the
 * sources that define these. */
#pragma once
#include <stddef.h>

/* With a call of the kernel that not all have, and without. */
extern const unsigned char observe_bpf[], observe_plain_bpf[];
extern const size_t observe_bpf_size, observe_plain_bpf_size;
