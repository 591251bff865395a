/* SPDX-License-Identifier: Apache-2.0 */
#include "api/page.h"
#include <string.h>

#define STEP (1U << 20)

static const struct ring *ring_of(const struct page *p, unsigned stream)
{
	return &p->session->streams[stream].capture.ring;
}

void page_init(struct page *p, struct session *s, const bool want[STREAMS_MAX])
{
	*p = (struct page){ .session = s, .record = index_tail(&s->index), .last = UINT64_MAX };
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		p->want[i] = want[i] && output_stream_exists(s, i);
		if (p->want[i])
			p->at[i] = ring_tail(ring_of(p, i));
	}
}

/* Goes to bytes that are older than all records: their stream has been quiet while another filled
 * the index. When they were captured is not known. */
static bool unrecorded_piece(struct page *p)
{
	const struct index *x = &p->session->index;

	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		uint64_t head, n;

		if (!p->want[i] || p->at[i] >= ring_head(ring_of(p, i)) ||
		    index_find(x, i, p->at[i], &n) >= 0)
			continue;
		head = ring_head(ring_of(p, i));
		if (p->since > 0) {
			p->at[i] = head;
			continue;
		}
		p->stream = i;
		p->end = head;
		p->when = index_get(x, index_tail(x)).when;
		return true;
	}
	return false;
}

/* Goes to the next record that brings something; false when all are read. */
static bool next_piece(struct page *p)
{
	const struct index *x = &p->session->index;
	uint64_t head = MIN(word_load(x->head), p->last), tail = index_tail(x);

	if (p->record < tail)
		p->record = tail;
	if (tail > 0 && p->record == tail && unrecorded_piece(p))
		return true;
	while (p->record < head) {
		struct index_entry entry = index_get(x, p->record++);

		if (entry.stream >= STREAMS_MAX || !p->want[entry.stream] ||
		    entry.end <= p->at[entry.stream])
			continue;
		if (entry.when < p->since) {
			p->at[entry.stream] = entry.end;
			continue;
		}
		p->stream = entry.stream;
		p->end = entry.end;
		p->when = entry.when;
		return true;
	}
	return false;
}

size_t page_peek(struct page *p, size_t max, struct iovec view[2], int *ret_pieces)
{
	for (;;) {
		const struct ring *ring;
		uint64_t tail, n;

		if (p->at[p->stream] >= p->end && !next_piece(p))
			return 0;
		ring = ring_of(p, p->stream);
		tail = ring_tail(ring);
		if (p->at[p->stream] < tail) {
			p->dropped += tail - p->at[p->stream];
			p->at[p->stream] = tail;
		}
		if (p->at[p->stream] >= p->end)
			continue;
		n = MIN(p->end - p->at[p->stream], (uint64_t)max);
		*ret_pieces = ring_pieces(ring, p->at[p->stream], n, view);
		return n;
	}
}

void page_advance(struct page *p, size_t n)
{
	p->at[p->stream] += n;
}

bool page_over(const struct page *p)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (p->want[i] && (!word_load(&p->session->words->streams[i].ended) ||
				   p->at[i] < ring_head(ring_of(p, i))))
			return false;
	return true;
}

bool page_at_end(const struct page *p)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (p->want[i] && !word_load(&p->session->words->streams[i].ended))
			return false;
	return true;
}

void page_skip_lines(struct page *p, uint64_t n)
{
	struct iovec view[2];
	int pieces;

	while (n > 0) {
		size_t got = page_peek(p, STEP, view, &pieces);
		const char *nl;

		if (got == 0)
			return;
		nl = memchr(view[0].iov_base, '\n', view[0].iov_len);
		if (nl)
			n--;
		page_advance(p, nl ? (size_t)(nl + 1 - (char *)view[0].iov_base) : view[0].iov_len);
	}
}
