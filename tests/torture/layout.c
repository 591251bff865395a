/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c - torture-layout: prints where the words stand that the tests read and write in control
 * memory, a line `NAME OFFSET` each; daemon.* from its start, slot.* from the start of a record. */
#include "core/layout.h"
#include "core/index.h"
#include <stdio.h>

#define DAEMON(member)                                                                             \
	{                                                                                          \
		"daemon." #member, offsetof(struct control_daemon, member)                         \
	}
#define SLOT(name, member)                                                                         \
	{                                                                                          \
		"slot." name, offsetof(struct control_slot, member)                                \
	}

static const struct {
	const char *name;
	size_t offset;
} places[] = {
	DAEMON(keeper_pid),
	DAEMON(engine_pid),
	DAEMON(spawner_pid),
	DAEMON(loading),
	DAEMON(move_phase),
	DAEMON(feed_phase),
	DAEMON(torture),
	DAEMON(poison),
	SLOT("state", state),
	SLOT("handle", handle),
	SLOT("cgroup", cgroup),
	SLOT("meta_size", meta_size),
	SLOT("index_size", index_size),
	SLOT("pid", pid),
	SLOT("spawn", spawn),
	SLOT("out.head", streams[0].head),
	SLOT("out.ended", streams[0].ended),
	SLOT("out.acked", streams[0].acked),
	SLOT("out.lost", streams[0].lost),
	SLOT("err.head", streams[1].head),
	SLOT("err.ended", streams[1].ended),
	SLOT("err.acked", streams[1].acked),
	SLOT("err.lost", streams[1].lost),
	SLOT("index_head", index_head),
	SLOT("in_accepted", in_accepted),
	SLOT("in_delivered", in_delivered),
	SLOT("stop.step", stop.step),
	SLOT("exit.ready", exit.ready),
	SLOT("tree_gone", tree_gone),
	SLOT("quarantined", quarantined),
};

/* How far behind the metadata the index ring begins. */
static uint64_t index_gap(void)
{
	struct control_slot slot = { 0 };
	struct layout l;

	word_store(&slot.meta_size, LAYOUT_PAGE);
	word_store(&slot.index_size, INDEX_SIZE_MIN);
	word_store(&slot.out_size[0], RING_SIZE_MIN);
	return layout_of(&slot, &l) < 0 ? 0 : l.index - l.meta - LAYOUT_PAGE;
}

int main(void)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		printf("%s %zu\n", places[i].name, places[i].offset);
	printf("record %u\nslots %u\nsize %llu\n", CONTROL_RECORD, CONTROL_SLOTS,
	       (unsigned long long)CONTROL_SIZE);
	printf("state.live %d\nspawn.started %d\nindex.gap %llu\n", SLOT_LIVE, SPAWN_STARTED,
	       (unsigned long long)index_gap());
	return 0;
}
