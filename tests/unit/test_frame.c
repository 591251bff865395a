/* SPDX-License-Identifier: Apache-2.0 */
#include "core/frame.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOKEN "0123456789abcdef"

static const struct frame samples[] = {
	{ .type = FRAME_HELLO, .token = TOKEN, .data = (const uint8_t *)"pipe-1", .size = 6 },
	{ .type = FRAME_START, .stream = FRAME_STDERR, .offset = 1ULL << 40, .dropped = 7 },
	{ .type = FRAME_START, .stream = FRAME_STDIN, .offset = 0x0102030405060708 },
	{ .type = FRAME_DROPPED, .stream = FRAME_PTY, .offset = 5 },
	{ .type = FRAME_EXIT, .exit_known = 1, .exit_code = -9, .outcome = 3, .cause = 3 },
	{ .type = FRAME_ENDED, .reason = FRAME_SESSION_EXITED },
	{ .type = FRAME_ACCEPTED, .stream = FRAME_STDIN, .offset = 65536 },
	{ .type = FRAME_ERROR, .status = 409, .data = (const uint8_t *)"no", .size = 2 },
	{ .type = FRAME_RESIZE, .rows = 24, .cols = 0x1234 },
	{ .type = FRAME_SIGNAL, .signal = 15 },
	{ .type = FRAME_SIGNAL, .signal = 15, .offset = 1ULL << 40 },
	{ .type = FRAME_START, .offset = 3 },
	{ .type = FRAME_MEMORY,
	  .stream = FRAME_STDERR,
	  .offset = 1ULL << 21,
	  .ring = 1ULL << 30,
	  .gone = 7160 },
	{ .type = FRAME_WRITTEN, .stream = FRAME_STDOUT, .offset = 1ULL << 40 },
	{ .type = FRAME_DETACH },
	{ .type = FRAME_EOF, .stream = FRAME_STDIN },
	{ .type = FRAME_ACK, .stream = FRAME_STDOUT, .offset = UINT64_MAX },
};

#define N_SAMPLES (sizeof(samples) / sizeof(samples[0]))

static struct frame_decoder decoder_for(enum frame_type type)
{
	return (struct frame_decoder){
		.from = type < FRAME_INPUT ? FRAME_FROM_SERVER : FRAME_FROM_CLIENT,
	};
}

static void assert_same(const struct frame *a, const struct frame *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->stream, b->stream);
	assert_true(a->offset == b->offset);
	assert_true(a->dropped == b->dropped);
	assert_true(a->ring == b->ring);
	assert_true(a->gone == b->gone);
	assert_memory_equal(a->token, b->token, FRAME_TOKEN);
	assert_int_equal(a->exit_known, b->exit_known);
	assert_int_equal(a->exit_code, b->exit_code);
	assert_int_equal(a->outcome, b->outcome);
	assert_int_equal(a->cause, b->cause);
	assert_int_equal(a->reason, b->reason);
	assert_int_equal(a->signal, b->signal);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->rows, b->rows);
	assert_int_equal(a->cols, b->cols);
	assert_int_equal(a->size, b->size);
	assert_memory_equal(a->size ? a->data : (const uint8_t *)"", b->size ? b->data : a->data,
			    a->size);
}

static void every_frame_survives_the_wire_cut_at_every_byte(void **state)
{
	uint8_t wire[FRAME_ENCODED_MAX];

	(void)state;
	for (size_t i = 0; i < N_SAMPLES; i++) {
		int n = frame_encode(&samples[i], wire);

		assert_true(n >= (int)FRAME_HEADER);
		for (int cut = 0; cut < n; cut++) {
			struct frame_decoder d = decoder_for(samples[i].type);
			const uint8_t *at = wire;
			size_t size = (size_t)cut;
			struct frame f;

			assert_int_equal(frame_decode(&d, &at, &size, &f), 0);
			assert_int_equal(frame_decoder_idle(&d), cut == 0);
			assert_int_equal(size, 0);
			size = (size_t)(n - cut);
			assert_int_equal(frame_decode(&d, &at, &size, &f), 1);
			assert_same(&f, &samples[i]);
			assert_true(at == wire + n);
			assert_true(frame_decoder_idle(&d));
		}
	}
}

static void numbers_are_little_endian(void **state)
{
	static const uint8_t exit_frame[] = { 4, 0,    0,    0,    7,    0, 0, 0,
					      1, 0xf7, 0xff, 0xff, 0xff, 3, 2 };
	static const uint8_t start[] = { 1, 4, 0, 0, 8, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
	uint8_t wire[FRAME_ENCODED_MAX];
	struct frame f = {
		.type = FRAME_EXIT, .exit_known = 1, .exit_code = -9, .outcome = 3, .cause = 2
	};

	(void)state;
	assert_int_equal(frame_encode(&f, wire), sizeof(exit_frame));
	assert_memory_equal(wire, exit_frame, sizeof(exit_frame));
	assert_int_equal(frame_encode(&samples[2], wire), sizeof(start));
	assert_memory_equal(wire, start, sizeof(start));
}

static void a_signal_without_a_number_is_one_byte(void **state)
{
	static const uint8_t plain[] = { 18, 0, 0, 0, 1, 0, 0, 0, 15 };
	uint8_t wire[FRAME_ENCODED_MAX];
	struct frame f = { .type = FRAME_SIGNAL, .signal = 15 };

	(void)state;
	assert_int_equal(frame_encode(&f, wire), sizeof(plain));
	assert_memory_equal(wire, plain, sizeof(plain));
	f.offset = 1;
	assert_int_equal(frame_encode(&f, wire), sizeof(plain) + 8);
	assert_int_equal(wire[4], 9);
}

static void output_comes_in_pieces_as_its_bytes_arrive(void **state)
{
	struct frame_decoder d = { .from = FRAME_FROM_SERVER };
	struct frame f = { .type = FRAME_OUTPUT, .stream = FRAME_STDOUT, .size = 5 };
	uint8_t wire[FRAME_ENCODED_MAX];
	const uint8_t *at = wire;
	size_t size;
	int n = frame_encode(&f, wire);

	(void)state;
	assert_int_equal(n, FRAME_HEADER);
	memcpy(wire + n, "hello", 5);
	size = FRAME_HEADER + 2;
	assert_int_equal(frame_decode(&d, &at, &size, &f), 1);
	assert_int_equal(f.size, 2);
	assert_memory_equal(f.data, "he", 2);
	assert_false(frame_decoder_idle(&d));
	assert_int_equal(frame_decode(&d, &at, &size, &f), 0);
	size = 3;
	assert_int_equal(frame_decode(&d, &at, &size, &f), 1);
	assert_int_equal(f.stream, FRAME_STDOUT);
	assert_memory_equal(f.data, "llo", 3);
	assert_true(frame_decoder_idle(&d));
}

static void a_later_piece_of_input_has_its_own_offset(void **state)
{
	struct frame_decoder d = { .from = FRAME_FROM_CLIENT };
	struct frame f = { .type = FRAME_INPUT, .stream = FRAME_STDIN, .offset = 100, .size = 4 };
	uint8_t wire[FRAME_ENCODED_MAX];
	const uint8_t *at = wire;
	size_t size;
	int n = frame_encode(&f, wire);

	(void)state;
	memcpy(wire + n, "abcd", 4);
	size = (size_t)n + 1;
	assert_int_equal(frame_decode(&d, &at, &size, &f), 1);
	assert_int_equal(f.offset, 100);
	size = 3;
	assert_int_equal(frame_decode(&d, &at, &size, &f), 1);
	assert_int_equal(f.offset, 101);
	assert_int_equal(f.size, 3);
}

static void output_without_bytes_is_passed_over(void **state)
{
	struct frame_decoder d = { .from = FRAME_FROM_SERVER };
	static const uint8_t wire[] = { 2, 1, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1 };
	const uint8_t *at = wire;
	size_t size = sizeof(wire);
	struct frame f;

	(void)state;
	assert_int_equal(frame_decode(&d, &at, &size, &f), 1);
	assert_int_equal(f.type, FRAME_ENDED);
	assert_int_equal(size, 0);
}

static void what_is_not_a_frame_is_refused_for_good(void **state)
{
	static const struct {
		const char *what;
		enum frame_side from;
		uint8_t wire[FRAME_HEADER];
	} bad[] = {
		{ "unknown type", FRAME_FROM_SERVER, { 11, 0 } },
		{ "memory of stdin", FRAME_FROM_SERVER, { FRAME_MEMORY, 4, 0, 0, 24 } },
		{ "too short", FRAME_FROM_SERVER, { FRAME_MEMORY, 1, 0, 0, 23 } },
		{ "too long", FRAME_FROM_SERVER, { FRAME_WRITTEN, 1, 0, 0, 9 } },
		{ "of the other side", FRAME_FROM_CLIENT, { FRAME_WRITTEN, 1, 0, 0, 8 } },
		{ "a screen of no terminal", FRAME_FROM_SERVER, { FRAME_SCREEN, 1, 0, 0, 1 } },
		{ "unknown type", FRAME_FROM_CLIENT, { 22, 0 } },
		{ "unknown stream", FRAME_FROM_SERVER, { FRAME_OUTPUT, 5, 0, 0, 1 } },
		{ "output on stdin", FRAME_FROM_SERVER, { FRAME_OUTPUT, 4, 0, 0, 1 } },
		{ "of the other side", FRAME_FROM_CLIENT, { FRAME_ENDED, 0, 0, 0, 1 } },
		{ "of the other side", FRAME_FROM_SERVER, { FRAME_DETACH } },
		{ "not zero", FRAME_FROM_CLIENT, { FRAME_DETACH, 0, 1 } },
		{ "not zero", FRAME_FROM_CLIENT, { FRAME_DETACH, 0, 0, 1 } },
		{ "too short", FRAME_FROM_CLIENT, { FRAME_ACK, 1, 0, 0, 7 } },
		{ "too long", FRAME_FROM_CLIENT, { FRAME_ACK, 1, 0, 0, 9 } },
		{ "too long", FRAME_FROM_SERVER, { FRAME_ERROR, 0, 0, 0, 3, 4 } },
		{ "above 1 MiB", FRAME_FROM_SERVER, { FRAME_OUTPUT, 1, 0, 0, 1, 0, 0x10 } },
		{ "above 1 MiB", FRAME_FROM_CLIENT, { FRAME_INPUT, 4, 0, 0, 1, 0, 0x10 } },
		{ "half a number", FRAME_FROM_CLIENT, { FRAME_SIGNAL, 0, 0, 0, 5 } },
		{ "more than a number", FRAME_FROM_CLIENT, { FRAME_SIGNAL, 0, 0, 0, 10 } },
		{ "too long", FRAME_FROM_SERVER, { FRAME_START, 0, 0, 0, 16 } },
		{ "no offset", FRAME_FROM_CLIENT, { FRAME_INPUT, 4, 0, 0, 7 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct frame_decoder d = { .from = bad[i].from };
		static const uint8_t good[FRAME_HEADER] = { FRAME_DETACH };
		const uint8_t *at = bad[i].wire;
		size_t size = FRAME_HEADER;
		struct frame f;

		assert_int_equal(frame_decode(&d, &at, &size, &f), -EPROTO);
		at = good;
		size = sizeof(good);
		assert_int_equal(frame_decode(&d, &at, &size, &f), -EPROTO);
		assert_false(frame_decoder_idle(&d));
	}
}

static void the_longest_output_and_input_are_taken(void **state)
{
	static const uint8_t output[FRAME_HEADER] = { FRAME_OUTPUT, 1, 0, 0, 0, 0, 0x10 };
	static const uint8_t input[FRAME_HEADER] = { FRAME_INPUT, 4, 0, 0, 0, 0, 0x10 };
	struct frame_decoder d = { .from = FRAME_FROM_SERVER };
	const uint8_t *at = output;
	size_t size = FRAME_HEADER;
	struct frame f;

	(void)state;
	assert_int_equal(frame_decode(&d, &at, &size, &f), 0);
	d = (struct frame_decoder){ .from = FRAME_FROM_CLIENT };
	at = input;
	size = FRAME_HEADER;
	assert_int_equal(frame_decode(&d, &at, &size, &f), 0);
}

static void encoding_refuses_what_no_decoder_would_take(void **state)
{
	static const struct frame bad[] = {
		{ .type = N_FRAME_TYPES },
		{ .type = 11 },
		{ .type = FRAME_WRITTEN, .stream = FRAME_STDIN },
		{ .type = FRAME_OUTPUT, .stream = FRAME_STDIN, .size = 1 },
		{ .type = FRAME_OUTPUT, .stream = FRAME_STDOUT, .size = FRAME_PAYLOAD_MAX + 1 },
		{ .type = FRAME_HELLO, .size = FRAME_TEXT_MAX + 1 },
		{ .type = FRAME_DETACH, .stream = FRAME_STDIN },
	};
	uint8_t wire[FRAME_ENCODED_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(frame_encode(&bad[i], wire), -EINVAL);
}

static void streams_have_names(void **state)
{
	(void)state;
	assert_string_equal(frame_stream_name(FRAME_PTY), "pty");
	assert_null(frame_stream_name(FRAME_NO_STREAM));
	assert_null(frame_stream_name(N_FRAME_STREAMS));
	assert_int_equal(frame_stream_from_name("stderr,x", 6), FRAME_STDERR);
	assert_int_equal(frame_stream_from_name("std", 3), FRAME_NO_STREAM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_survives_the_wire_cut_at_every_byte),
		cmocka_unit_test(numbers_are_little_endian),
		cmocka_unit_test(a_signal_without_a_number_is_one_byte),
		cmocka_unit_test(output_comes_in_pieces_as_its_bytes_arrive),
		cmocka_unit_test(a_later_piece_of_input_has_its_own_offset),
		cmocka_unit_test(output_without_bytes_is_passed_over),
		cmocka_unit_test(what_is_not_a_frame_is_refused_for_good),
		cmocka_unit_test(the_longest_output_and_input_are_taken),
		cmocka_unit_test(encoding_refuses_what_no_decoder_would_take),
		cmocka_unit_test(streams_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
