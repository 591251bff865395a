/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - torture-stream SEED OUT_BYTES [ERR_BYTES [STATUS]]: writes so many bytes to stdout and
 * to stderr, in chunks of random sizes and in random order, and exits with STATUS.
 *
 * Byte number n of a stream depends on SEED, the stream and n alone: whoever reads a piece of it
 * can tell where it belongs. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BITS 18 /* the largest chunk is 256 KiB */

struct stream {
	int fd;
	uint64_t seed, done, size;
};

/* splitmix64: the n-th number of a sequence that needs no state. */
static uint64_t number(uint64_t seed, uint64_t n)
{
	uint64_t z = seed * 0xd1342543de82ef95ULL + n * 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* Fills `to` with the stream's bytes from `at` on, up to the next multiple of 8 beyond `n`; `to`
 * begins with the word that holds byte `at`. */
static void fill(const struct stream *s, uint64_t *to, uint64_t at, uint64_t n)
{
	for (uint64_t i = at / 8; i <= (at + n) / 8; i++)
		*to++ = number(s->seed, i);
}

static int write_all(int fd, const char *from, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, from, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		from += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Chunks of each magnitude are equally likely. */
static int write_chunk(struct stream *s, uint64_t chance)
{
	static uint64_t words[(1 << CHUNK_BITS) / 8 + 2];
	uint64_t bits = chance % (CHUNK_BITS + 1);
	uint64_t n = 1 + (chance >> 8) % (1ULL << bits), at = s->done;

	if (n > s->size - at)
		n = s->size - at;
	fill(s, words, at, n);
	s->done += n;
	return write_all(s->fd, (char *)words + at % 8, n);
}

int main(int argc, char **argv)
{
	struct stream streams[2] = { { .fd = 1 }, { .fd = 2 } };
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, turn = 0;
	int status = argc > 4 ? atoi(argv[4]) : 0;

	if (argc < 3) {
		fputs("usage: torture-stream SEED OUT_BYTES [ERR_BYTES [STATUS]]\n", stderr);
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		streams[i].seed = seed * 2 + (uint64_t)i;
		streams[i].size = argc > 2 + i ? strtoull(argv[2 + i], NULL, 10) : 0;
	}
	while (streams[0].done < streams[0].size || streams[1].done < streams[1].size) {
		uint64_t chance = number(~seed, turn++);
		struct stream *s = &streams[chance >> 63];
		int r;

		if (s->done == s->size)
			s = &streams[s == streams];
		r = write_chunk(s, chance);
		if (r < 0) {
			fprintf(stderr, "torture-stream: %s\n", strerror(-r));
			return 99;
		}
	}
	return status;
}
