/* SPDX-License-Identifier: Apache-2.0 */
/* moves.h - for tests of capture and feed: the memory and the pipes that engines share, one engine
 * after the other, and bytes of which each tells where it belongs. */
#pragma once
#include "core/capture.h"
#include "core/feed.h"
#include "core/pipes.h"
#include "core/pty.h"
#include "processes.h"
#include <stdlib.h>
#include <termios.h>

#define SLOT          7U
#define INDEX_RECORDS 65536U
#define RING_MAX      65536U

/* What survives an engine. */
struct memory {
	struct control_daemon daemon;
	struct control_slot slot;
	struct index_raw records[INDEX_RECORDS];
	uint8_t out[STREAMS_MAX][RING_MAX];
	uint8_t in[RING_MAX];
	/* Of the tests themselves. */
	_Atomic bool enough;
	_Atomic uint64_t checked[STREAMS_MAX], steps, lost, got;
};

struct moves {
	struct memory *memory;
	struct capture capture;
	struct capture_stream streams[STREAMS_MAX];
	struct index index;
	struct feed feed;
	struct feed_target target;
	int child_out[STREAMS_MAX]; /* the ends that a child would have */
	int child_in;
	int reads_fd; /* the ring of reads that outlives engines; -1: there is none */
};

/* The byte at `offset` of a stream: a byte at a wrong place is seen. */
static inline uint8_t pattern(unsigned stream, uint64_t offset)
{
	uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15ULL + stream * 0x5851f42d4c957f2dULL;

	return (uint8_t)(x >> 56 ^ x >> 24);
}

static inline void fill_pattern(unsigned stream, uint64_t offset, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = pattern(stream, offset + i);
}

/* The first of `n` bytes that is wrong; `n` when none is. */
static inline size_t first_wrong(unsigned stream, uint64_t offset, const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] == pattern(stream, offset + i))
		i++;
	return i;
}

static inline void moves_init(struct moves *m, uint64_t ring_size, unsigned child_pipe)
{
	int pair[2];
	struct memory *memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	*m = (struct moves){ .memory = memory, .reads_fd = -1 };
	m->capture.daemon = m->feed.daemon = &memory->daemon;
	assert_int_equal(pipe_make(pair, 1, 1, 0), 0);
	m->capture.pipe_r = pair[0];
	m->capture.pipe_w = pair[1];
	assert_int_equal(pipe_make(pair, 1, 1, 0), 0);
	m->feed.pipe_r = pair[0];
	m->feed.pipe_w = pair[1];
	index_init(&m->index, memory->records, sizeof(memory->records), &memory->slot.index_head);
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		assert_int_equal(pipe_make(pair, 1, 0, child_pipe), 0);
		m->child_out[i] = pair[1];
		m->streams[i] = (struct capture_stream){
			.fd = pair[0],
			.splice_fd = -1,
			.slot = SLOT,
			.stream = i,
			.ring = { .data = memory->out[i],
				  .size = ring_size,
				  .head = &memory->slot.streams[i].head },
			.index = &m->index,
			.words = &memory->slot.streams[i],
		};
	}
	assert_int_equal(pipe_make(pair, 1, 1, child_pipe), 0);
	m->child_in = pair[0];
	m->target = (struct feed_target){
		.fd = pair[1],
		.slot = SLOT,
		.ring = { .data = memory->in,
			  .size = ring_size,
			  .head = &memory->slot.in_accepted },
		.delivered = &memory->slot.in_delivered,
	};
}

/* The stream is that of a terminal that alters nothing. */
static inline void make_terminal(struct moves *m, unsigned stream)
{
	struct termios t;

	closep(&m->streams[stream].fd);
	closep(&m->child_out[stream]);
	assert_int_equal(pty_make(24, 80, &m->streams[stream].fd, &m->child_out[stream]), 0);
	assert_int_equal(tcgetattr(m->child_out[stream], &t), 0);
	cfmakeraw(&t);
	assert_int_equal(tcsetattr(m->child_out[stream], TCSANOW, &t), 0);
	m->streams[stream].pieces = 4;
}

/* What an engine does with the ring before it recovers, and after it. */
static inline void map_reads(struct moves *m)
{
	assert_int_equal(uring_read_map(&m->capture.reads, m->reads_fd, &m->memory->daemon.reads),
			 0);
}

static inline void begin_reads(struct moves *m)
{
	assert_int_equal(uring_read_open(&m->capture.reads), 0);
	m->capture.can_read = true;
}

/* Makes the ring; skips the test where that cannot be had, or not be used. */
static inline void make_reads(struct moves *m)
{
	int r = uring_read_make(&m->memory->daemon.reads);

	if (r < 0)
		skip();
	m->reads_fd = r;
	map_reads(m);
	r = uring_read_open(&m->capture.reads);
	uring_read_close(&m->capture.reads);
	if (r < 0)
		skip();
}

/* Nobody writes behind a ring. */
static inline void assert_zero_behind(const struct ring *r, const uint8_t region[RING_MAX])
{
	for (uint64_t i = r->size; i < RING_MAX; i++)
		assert_int_equal(region[i], 0);
}

static inline void moves_done(struct moves *m)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		assert_zero_behind(&m->streams[i].ring, m->memory->out[i]);
	assert_zero_behind(&m->target.ring, m->memory->in);
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		capture_close(&m->streams[i]);
		closep(&m->streams[i].fd);
		closep(&m->child_out[i]);
	}
	uring_read_close(&m->capture.reads);
	closep(&m->reads_fd);
	closep(&m->target.fd);
	closep(&m->child_in);
	closep(&m->capture.pipe_r);
	closep(&m->capture.pipe_w);
	closep(&m->feed.pipe_r);
	closep(&m->feed.pipe_w);
	munmap(m->memory, sizeof(*m->memory));
}

/* What an engine does first with the pipe that the one before may have left full. Returns the
 * number of bytes lost. */
static inline uint64_t recover_capture(struct moves *m, uint64_t when)
{
	struct capture_stream *s = NULL;
	unsigned slot, stream;

	if (capture_pending(&m->capture, &slot, &stream) && slot == SLOT)
		s = &m->streams[stream];
	return capture_recover(&m->capture, s, when);
}

static inline void recover_feed(struct moves *m)
{
	unsigned slot;
	bool mine = feed_pending(&m->feed, &slot) && slot == SLOT;

	feed_recover(&m->feed, mine ? m->target.delivered : NULL);
}

/* What a client sends: bytes into the stdin ring. */
static inline void accept_input(struct moves *m, size_t n)
{
	uint64_t at = ring_head(&m->target.ring);
	struct iovec view[2];
	int pieces = ring_pieces(&m->target.ring, at, n, view);

	for (int i = 0; i < pieces; i++) {
		fill_pattern(0, at, view[i].iov_base, view[i].iov_len);
		at += view[i].iov_len;
	}
	word_store(m->target.ring.head, at);
}

/* What a child says: `n` more bytes of the stream, from `offset` on. */
static inline void say(struct moves *m, unsigned stream, uint64_t offset, size_t n)
{
	uint8_t data[RING_MAX];

	assert_true(n <= sizeof(data));
	fill_pattern(stream, offset, data, n);
	assert_int_equal(write(m->child_out[stream], data, n), n);
}

/* All bytes of the ring that are retained from `from` on are what the child said. */
static inline void assert_said(const struct moves *m, unsigned stream, uint64_t from)
{
	const struct ring *r = &m->streams[stream].ring;
	uint64_t head = ring_head(r);
	struct iovec view[2];
	int pieces;

	from = MAX(from, ring_tail(r));
	pieces = ring_pieces(r, from, head - from, view);
	for (int i = 0; i < pieces; i++) {
		assert_int_equal(first_wrong(stream, from, view[i].iov_base, view[i].iov_len),
				 view[i].iov_len);
		from += view[i].iov_len;
	}
}

/* Runs `engine` in a process of its own. Returns its wait status. */
static inline int run_engine(struct moves *m, void (*engine)(struct moves *))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		engine(m);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* --- random numbers that a failing run can be repeated with ---------------------------------- */

static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline uint64_t random_below(uint64_t *seed, uint64_t n)
{
	return next_random(seed) % n;
}
