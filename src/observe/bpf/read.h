/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* read.h - reading kernel structures. */
#pragma once
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "kernel.h"
#include "record.h"

/* Set by the loader. */
const volatile struct kernel_has kernel_has SEC(".rodata.kernel") = { 1, 1, 1 };

#ifdef WITH_CAST
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

#define READ(type, p, member)                                                                      \
	({                                                                                         \
		typeof(((struct type *)0)->member) value_;                                         \
		if (kernel_has.cast)                                                               \
			value_ = ((struct type *)bpf_rdonly_cast(                                  \
					  (void *)(p), bpf_core_type_id_kernel(struct type)))      \
					 ->member;                                                 \
		else                                                                               \
			bpf_core_read(&value_, sizeof(value_), &((struct type *)(p))->member);     \
		value_;                                                                            \
	})
#else
#define READ(type, p, member)                                                                      \
	({                                                                                         \
		typeof(((struct type *)0)->member) value_;                                         \
		bpf_core_read(&value_, sizeof(value_), &((struct type *)(p))->member);             \
		value_;                                                                            \
	})
#endif
