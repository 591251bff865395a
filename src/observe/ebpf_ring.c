/* SPDX-License-Identifier: Apache-2.0 */
/* The user's side of a BPF ring buffer (kernel/bpf/ringbuf.c): one page whose first word counts
 * what was consumed, one that counts what was produced, then the data, mapped twice in a row so
 * that no record wraps. */
#include "observe/ebpf.h"
#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HEADER 8U
#define BATCH  64U /* records between two updates of what was consumed */

static int size_of(int map, size_t *ret)
{
	struct bpf_map_info info = { 0 };
	union bpf_attr attr = { 0 };

	attr.info.bpf_fd = (uint32_t)map;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uint64_t)(uintptr_t)&info;
	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return -errno;
	*ret = info.max_entries;
	return 0;
}

int ebpf_ring_open(struct ebpf_ring *r, int map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 0;
	void *consumer, *producer;
	int result = size_of(map, &size);

	if (result < 0)
		return result;
	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, map, (off_t)page);
	if (producer == MAP_FAILED) {
		result = -errno;
		(void)munmap(consumer, page);
		return result;
	}
	*r = (struct ebpf_ring){ consumer, producer, (const char *)producer + page, size, page };
	return 0;
}

void ebpf_ring_close(struct ebpf_ring *r)
{
	if (!r->consumed)
		return;
	(void)munmap(r->consumed, r->page);
	(void)munmap((void *)(uintptr_t)r->produced, r->page + 2 * r->size);
	*r = (struct ebpf_ring){ 0 };
}

uint64_t ebpf_ring_fill(const struct ebpf_ring *r)
{
	return __atomic_load_n(r->produced, __ATOMIC_ACQUIRE) - *r->consumed;
}

/* What is read of one ring in a turn. */
struct head {
	uint64_t at, end;
	const struct record *record; /* at `at`; NULL: none that is complete */
	uint64_t next;               /* behind it */
	unsigned n;                  /* passed */
	bool presses;                /* so much waits in it that it need not wait for another */
};

static void pass(struct ebpf_ring *r, struct head *h)
{
	h->at = h->next;
	if (++h->n % BATCH == 0)
		__atomic_store_n(r->consumed, h->at, __ATOMIC_RELEASE);
}

static void look(struct ebpf_ring *r, struct head *h)
{
	for (h->record = NULL; !h->record && h->at < h->end;) {
		const uint32_t *header = (const uint32_t *)(r->data + (h->at & (r->size - 1)));
		uint32_t word = __atomic_load_n(header, __ATOMIC_ACQUIRE);
		uint32_t size = word & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if ((word & BPF_RINGBUF_BUSY_BIT) != 0)
			return; /* being written */
		h->next = h->at + (((uint64_t)HEADER + size + 7) & ~7ULL);
		if ((word & BPF_RINGBUF_DISCARD_BIT) == 0 && size >= sizeof(struct record))
			h->record = (const struct record *)((const char *)header + HEADER);
		else
			pass(r, h);
	}
}

/* The ring whose turn it is; RINGS: no one's. */
static unsigned choose(const struct head heads[RINGS], unsigned max)
{
	unsigned first = RINGS;

	for (unsigned i = 0; i < RINGS; i++)
		if (heads[i].record &&
		    (first == RINGS || heads[i].record->time < heads[first].record->time))
			first = i;
	if (first == RINGS || heads[first].n < max)
		return first;
	for (unsigned i = 0; i < RINGS; i++)
		if (heads[i].record && heads[i].presses && heads[i].n < max)
			return i;
	return RINGS;
}

unsigned ebpf_rings_read(struct ebpf_ring rings[RINGS], unsigned max, ebpf_ring_each *each,
			 void *userdata, bool *ret_more)
{
	struct head heads[RINGS] = { 0 };
	unsigned i, n = 0;

	*ret_more = false;
	for (i = 0; i < RINGS; i++) {
		heads[i].at = *rings[i].consumed;
		heads[i].end = __atomic_load_n(rings[i].produced, __ATOMIC_ACQUIRE);
		heads[i].presses = heads[i].end - heads[i].at > rings[i].size / EBPF_PRESSES;
		look(&rings[i], &heads[i]);
	}
	while ((i = choose(heads, max)) < RINGS) {
		each(userdata, i, heads[i].record, heads[i].next);
		pass(&rings[i], &heads[i]);
		look(&rings[i], &heads[i]);
	}
	for (i = 0; i < RINGS; i++) {
		__atomic_store_n(rings[i].consumed, heads[i].at, __ATOMIC_RELEASE);
		*ret_more |= heads[i].record != NULL;
		n += heads[i].n;
	}
	return n;
}
