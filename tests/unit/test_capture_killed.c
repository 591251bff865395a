/* SPDX-License-Identifier: Apache-2.0 */
/* Engines that capture and are killed with SIGKILL at any moment, one after the other. */
#include "moves.h"
#include <poll.h>
#include <sched.h>

#define KILLS      100
#define IN_THE_ACT 10 /* kills in the middle of a step that a run must have seen */

static struct moves m;
static enum { BY_SPLICE, BY_READ, IN_TURN } way;

static int setup(void **state _unused_)
{
	moves_init(&m, RING_MAX, 0);
	way = BY_SPLICE;
	return 0;
}

static int teardown(void **state _unused_)
{
	moves_done(&m);
	return 0;
}

static uint64_t head_of(unsigned stream)
{
	return ring_head(&m.streams[stream].ring);
}

/* The child: says whatever it likes in pieces of any size, until it has said enough. */
static void role_speak(struct moves *w, bool packets)
{
	uint64_t said[STREAMS_MAX] = { 0 }, seed = 99;
	uint8_t data[9000];

	for (unsigned i = 0; packets && i < STREAMS_MAX; i++)
		fcntl(w->child_out[i], F_SETFL, O_DIRECT);
	while (!w->memory->enough) {
		unsigned stream = random_below(&seed, STREAMS_MAX);
		size_t n = 1 + random_below(&seed, random_below(&seed, 2) ? 100 : sizeof(data));

		fill_pattern(stream, said[stream], data, n);
		if (write(w->child_out[stream], data, n) != (ssize_t)n)
			_exit(1);
		said[stream] += n;
	}
	_exit(0);
}

static ssize_t step(struct moves *w, struct capture_stream *s, uint64_t room)
{
	static uint64_t seed = 7;
	bool large;

	if (way == BY_SPLICE || (way == IN_TURN && random_below(&seed, 4) == 0))
		return capture_step(&w->capture, s, room, 1);
	return capture_run(&w->capture, s, room, 1, 1 + (unsigned)random_below(&seed, 20), &large);
}

/* One step of one stream. Returns what to wait for: its descriptor, or -1. */
static int capture_one(struct moves *w, unsigned i, bool *open)
{
	struct capture_stream *s = &w->streams[i];
	uint64_t room = s->ring.size - (ring_head(&s->ring) - w->memory->checked[i]);
	ssize_t n;

	if (!*open || room == 0)
		return -1;
	n = step(w, s, room);
	*open = n > 0 || n == -EAGAIN;
	w->memory->steps += n > 0;
	if (n < 0 && n != -EAGAIN && !(n == -EIO && s->pieces > 0))
		_exit(2);
	return n == -EAGAIN ? s->fd : -1;
}

/* An engine with two block cursors: takes no more than what the test has checked leaves room for.
 */
static void role_capture(struct moves *w)
{
	struct pollfd p[STREAMS_MAX] = { { .events = POLLIN }, { .events = POLLIN } };
	bool open[STREAMS_MAX] = { true, true };

	if (way != BY_SPLICE)
		map_reads(w);
	w->memory->lost += recover_capture(w, 1);
	if (way != BY_SPLICE)
		begin_reads(w);
	while (open[0] || open[1]) {
		for (unsigned i = 0; i < STREAMS_MAX; i++)
			p[i].fd = capture_one(w, i, &open[i]);
		poll(p, STREAMS_MAX, p[0].fd >= 0 && p[1].fd >= 0 ? 1 : 0);
	}
}

/* Follows the engines: every byte as soon as it is there, every record, each end beyond the last.
 */
static void check_news(uint64_t *record, uint64_t ends[STREAMS_MAX])
{
	uint64_t records = word_load(m.index.head);

	if (*record > 0) { /* the step may have gone on */
		struct index_entry entry = index_get(&m.index, *record - 1);

		assert_true(entry.end >= ends[entry.stream]);
		ends[entry.stream] = entry.end;
	}
	for (; *record < records; ++*record) {
		struct index_entry entry = index_get(&m.index, *record);

		assert_in_range(entry.stream, 0, STREAMS_MAX - 1);
		assert_true(entry.end > ends[entry.stream]);
		ends[entry.stream] = entry.end;
	}
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		uint64_t head = head_of(i);

		assert_true(head - m.memory->checked[i] <= m.streams[i].ring.size);
		assert_said(&m, i, m.memory->checked[i]);
		m.memory->checked[i] = head;
	}
}

static pid_t fork_role(void (*role)(struct moves *))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		role(&m);
		_exit(0);
	}
	return pid;
}

static pid_t fork_speaker(bool packets)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		role_speak(&m, packets);
	}
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		closep(&m.child_out[i]);
		m.child_out[i] = -1;
	}
	return pid;
}

/* Lets one engine after the other work for a moment. Returns how many were killed. */
static unsigned kill_engines(uint64_t *record, uint64_t ends[STREAMS_MAX])
{
	uint64_t seed = (uint64_t)getpid() << 20 | 1;
	unsigned kills = 0, in_the_act = 0, slot, stream;

	for (; kills < KILLS || in_the_act < IN_THE_ACT; kills++) {
		uint64_t enough = m.memory->steps + random_below(&seed, 30);
		pid_t engine = fork_role(role_capture);

		assert_true(kills < 100 * KILLS);
		while (m.memory->steps < enough) {
			check_news(record, ends);
			nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
		}
		for (volatile uint64_t spin = random_below(&seed, 20000); spin > 0; spin--)
			;
		end(engine);
		in_the_act += capture_pending(&m.capture, &slot, &stream);
		check_news(record, ends);
	}
	return kills;
}

static void assert_exact_through_kills(bool packets)
{
	uint64_t record = 0, ends[STREAMS_MAX] = { 0 };
	pid_t speaker = fork_speaker(packets), engine;
	unsigned kills = kill_engines(&record, ends);
	int status;

	m.memory->enough = true;
	engine = fork_role(role_capture);
	do
		check_news(&record, ends);
	while (waitpid(engine, &status, WNOHANG) == 0);
	assert_int_equal(status, 0);
	check_news(&record, ends);
	assert_int_equal(waitpid(speaker, &status, 0), speaker);
	assert_int_equal(status, 0);
	assert_int_equal(m.memory->lost, 0);
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		assert_int_equal(ends[i], head_of(i));
		assert_int_equal(word_load(&m.memory->slot.streams[i].lost), 0);
	}
	/* One that was killed may have finished a step, or left it to the next, without counting
	 * it; what it left of a run of reads is a step of its own. */
	assert_in_range(record, m.memory->steps,
			m.memory->steps + (way == BY_SPLICE ? kills : 2 * kills));
	assert_int_equal(pipe_fill(m.capture.pipe_r), 0);
}

static void no_byte_is_lost_or_doubled_when_engines_are_killed(void **state _unused_)
{
	assert_exact_through_kills(false);
}

static void no_packet_is_lost_or_doubled_when_engines_are_killed(void **state _unused_)
{
	assert_exact_through_kills(true);
}

/* The other stream stays a pipe. */
static void no_byte_of_a_terminal_is_lost_or_doubled(void **state _unused_)
{
	make_terminal(&m, 0);
	assert_exact_through_kills(false);
}

/* --- by reads that leave behind what they took ------------------------------------------------ */

static void no_byte_that_was_read_is_lost_or_doubled(void **state _unused_)
{
	make_reads(&m);
	way = BY_READ;
	assert_exact_through_kills(false);
}

static void no_packet_that_was_read_is_lost_or_doubled(void **state _unused_)
{
	make_reads(&m);
	way = BY_READ;
	assert_exact_through_kills(true);
}

static void no_byte_is_lost_or_doubled_when_reads_and_splices_take_turns(void **state _unused_)
{
	make_reads(&m);
	way = IN_TURN;
	assert_exact_through_kills(false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_byte_is_lost_or_doubled_when_engines_are_killed),
		TEST(no_packet_is_lost_or_doubled_when_engines_are_killed),
		TEST(no_byte_of_a_terminal_is_lost_or_doubled),
		TEST(no_byte_that_was_read_is_lost_or_doubled),
		TEST(no_packet_that_was_read_is_lost_or_doubled),
		TEST(no_byte_is_lost_or_doubled_when_reads_and_splices_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
