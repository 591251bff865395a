/* SPDX-License-Identifier: Apache-2.0 */
/* words.h - which word of control memory an input means: those that matter have numbers of their
 * own, so that seeds go on meaning what they meant when a record grows. */
#pragma once
#include "core/control.h"
#include "input.h"

#define SLOT(member)   (uint16_t) offsetof(struct control_slot, member)
#define DAEMON(member) (uint16_t) offsetof(struct control_daemon, member)

/* In the order of their numbers: append only. */
static const uint16_t slot_words[] = {
	SLOT(state),
	SLOT(kind),
	SLOT(flags),
	SLOT(spawn),
	SLOT(pid),
	SLOT(step),
	SLOT(fail),
	SLOT(mark),
	SLOT(cgroup),
	SLOT(meta_size),
	SLOT(index_size), /* 10 */
	SLOT(in_size),
	SLOT(out_size[0]),
	SLOT(out_size[1]),
	SLOT(index_head),
	SLOT(in_accepted),
	SLOT(in_delivered),
	SLOT(in_closing),
	SLOT(streams[0].head),
	SLOT(streams[0].floor),
	SLOT(streams[0].ended), /* 20 */
	SLOT(streams[0].acked),
	SLOT(streams[0].leader_end),
	SLOT(streams[1].head),
	SLOT(streams[1].floor),
	SLOT(token[0]),
	SLOT(attach_mode),
	SLOT(lease),
	SLOT(exit.ready),
	SLOT(tree_gone),
	SLOT(quarantined), /* 30 */
	SLOT(stop.requested),
	SLOT(stop.step),
	SLOT(stop.begun),
	SLOT(stop.plans[1].n_steps),
	SLOT(stop.plans[1].steps[0]),
	SLOT(stop.plans[1].steps[1]),
};

static const uint16_t daemon_words[] = {
	DAEMON(move_phase), DAEMON(move_where), DAEMON(move_target), DAEMON(feed_phase),
	DAEMON(feed_slot),  DAEMON(feed_upto),  DAEMON(loading),
};

/* Two bytes: the number of a word; from 64 on one of the daemon's, from 128 on any. */
static inline struct word *take_word(struct input *in, struct control_slot *slot,
				     struct control_daemon *daemon)
{
	uint8_t number = take_u8(in), any = take_u8(in);

	if (number >= 192)
		return (struct word *)daemon + any % (sizeof(*daemon) / sizeof(struct word));
	if (number >= 128)
		return (struct word *)slot + any % (sizeof(*slot) / sizeof(struct word));
	if (number >= 64)
		return (struct word *)((char *)daemon +
				       daemon_words[(number - 64U) % ARRAY_SIZE(daemon_words)]);
	return (struct word *)((char *)slot + slot_words[number % ARRAY_SIZE(slot_words)]);
}
