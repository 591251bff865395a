/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* table.h - the open files that are followed, by their structure in the kernel; and by which
 * descriptor one was opened. Arrays: where each call of a file is looked at, the locks of the
 * kernel's hash tables would cost more than all else. The keys of a bucket are one cache line. */
#pragma once
#include "emit.h"

#define BUCKET        8
#define FILE_BUCKETS  2048
#define FILES         (FILE_BUCKETS * BUCKET)
#define PAIRS         4
#define PAIR_BUCKETS  8192
#define GOLDEN        0x9e3779b97f4a7c15ULL
#define HASH(k, bits) ((__u32)(((k)*GOLDEN) >> (64 - (bits))))

struct bucket {
	__u64 keys[BUCKET]; /* struct file; 0: free */
};

struct pairs {
	struct {
		__u64 descriptor, file;
	} of[PAIRS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILE_BUCKETS);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILES);
	__type(key, __u32);
	__type(value, struct open_file);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PAIR_BUCKETS);
	__type(key, __u32);
	__type(value, struct pairs);
} descriptors SEC(".maps");

static __always_inline struct open_file *file_at(__u32 place)
{
	return bpf_map_lookup_elem(&files, &place);
}

static __always_inline struct open_file *find_file(__u64 key)
{
	__u32 b = HASH(key, 11);
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &b);

	if (!bucket)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < BUCKET; i++) {
		struct open_file *of;

		if (bucket->keys[i] != key)
			continue;
		of = file_at(b * BUCKET + i);
		if (of && of->live != 0)
			return of;
	}
	return 0;
}

/* A free place, now `key`'s: nobody finds it before it is live. */
static __always_inline struct open_file *new_file(__u64 key)
{
	__u32 b = HASH(key, 11);
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &b);

	if (!bucket)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < BUCKET; i++) {
		struct open_file *of;

		if (bucket->keys[i] != 0 ||
		    __sync_val_compare_and_swap(&bucket->keys[i], 0, key) != 0)
			continue;
		of = file_at(b * BUCKET + i);
		if (of)
			of->place = b * BUCKET + i;
		return of;
	}
	return 0;
}

/* To be called by the one who ended it. */
static __always_inline void free_file(__u32 place)
{
	__u32 b = place / BUCKET;
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &b);

	if (bucket)
		bucket->keys[place & (BUCKET - 1)] = 0;
}

/* --- descriptors ----------------------------------------------------------------------------- */

static __always_inline __u64 descriptor_key(struct task_struct *task, __u32 fd)
{
	return (__u64)BPF_CORE_READ(task, files) + (__u64)fd * GOLDEN;
}

static __always_inline struct pairs *pairs_of(__u64 key)
{
	__u32 b = HASH(key, 13);

	return bpf_map_lookup_elem(&descriptors, &b);
}

/* A hint, for the end: what is overwritten here is found by the next sweep. */
static __always_inline void remember_descriptor(struct task_struct *task, __u32 fd, __u64 file)
{
	__u64 key = descriptor_key(task, fd);
	struct pairs *pairs = pairs_of(key);
	__u32 at = 0;

	if (!pairs)
		return;
#pragma unroll
	for (__u32 i = PAIRS; i-- > 0;) {
		if (pairs->of[i].descriptor == 0 || pairs->of[i].descriptor == key)
			at = i;
	}
	at &= PAIRS - 1;
	pairs->of[at].file = file;
	pairs->of[at].descriptor = key;
}

/* What was opened as this descriptor; 0: not known. */
static __always_inline __u64 take_descriptor(struct task_struct *task, __u32 fd)
{
	__u64 key = descriptor_key(task, fd);
	struct pairs *pairs = pairs_of(key);

	if (!pairs)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < PAIRS; i++) {
		if (pairs->of[i].descriptor != key)
			continue;
		pairs->of[i].descriptor = 0;
		return pairs->of[i].file;
	}
	return 0;
}
