/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h - where things lie in a session's memory.
 *
 * One memfd a session, held by the keeper and mapped by the engine:
 *
 *   metadata | notes | index ring | stdin ring | output ring 0 | output ring 1 | screen
 *
 * Sizes come from the slot record and never change. Pages cost memory only once written. The
 * metadata is the session's spawn request as JSON, `size` bytes behind a u64 that holds `size`;
 * it is written before the slot becomes LIVE and is immutable after that. The notes are JSON too,
 * written once when the leader has ended: what it left behind; and, as text at their end, why the
 * session was stopped, for the first who said it, and before that a word a stream, for clients
 * that read the rings' memory themselves (capture.h). The screen of a terminal has two
 * records; what is in them is said in engine/screen.h. */
#pragma once
#include "core/control.h"
#include <stddef.h>

#define LAYOUT_PAGE     4096ULL
#define RING_SIZE_MIN   4096ULL
#define RING_SIZE_MAX   (1ULL << 30)
#define RING_SIZE_OUT   (1ULL << 20)   /* default backlog of a stream */
#define RING_SIZE_IN    (128ULL << 10) /* twice what a client may send ahead */
#define INDEX_SIZE_MIN  4096ULL
#define META_SIZE_MAX   (8ULL << 20)
#define NOTES_SIZE      8192ULL
#define STOP_REASON_MAX 1024ULL                             /* of the notes, at their end */
#define LENT_SIZE       (STREAMS_MAX * sizeof(struct word)) /* of the notes, before that */
#define SCREEN_SIZE     (1ULL << 20)

struct layout {
	uint64_t meta, notes, lent, index, in, out[STREAMS_MAX], screen;
	uint64_t size;
};

/* Derives the layout from the sizes in the record: only the index is always there, other rings may
 * have the size 0. -EINVAL when a size is out of its range: a record that an engine would have to
 * distrust. */
int layout_of(const struct control_slot *slot, struct layout *ret);

/* Bytes of the index ring that goes with output rings of `out_total` bytes: one 16-byte record per
 * 128 bytes of output, so that times are known for all retained bytes unless the output comes in
 * many pieces smaller than that. A power of two. */
uint64_t layout_index_size(uint64_t out_total);
