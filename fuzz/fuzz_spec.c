/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_spec.c - spec_open() on memfds that anybody may have made: all strings lie inside. */
#include "base/fd.h"
#include "core/spec.h"
#include "input.h"
#include <fcntl.h>
#include <sys/mman.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Reads every byte of them. */
static size_t length_of(char *const *strings)
{
	size_t n = 0;

	for (; *strings; strings++)
		n += strlen(*strings) + 1;
	return n;
}

static void check(const struct spec_view *v, size_t size)
{
	uint32_t argc = 0, envc = 0;

	while (v->argv[argc])
		argc++;
	while (v->envp[envc])
		envc++;
	must(argc == v->header->argc && argc > 0);
	must(envc == v->header->envc);
	must(sizeof(struct spec_header) + length_of(v->argv) + length_of(v->envp) + strlen(v->cwd) +
		     1 <=
	     size);
	v->argv[-1] = v->argv[0];
}

/* First byte: bit 0, the size in the header is corrected; bit 1, the magic too; bit 2, one seal is
 * missing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t how = take_u8(&in);
	struct spec_header header;
	struct spec_view v = { 0 };
	int fd = fd_memfd("spec", 0), r;

	must(fd >= 0 && fd_write_all(fd, in.data, in.left) == 0);
	if (in.left >= sizeof(header)) {
		memcpy(&header, in.data, sizeof(header));
		if (how & 1)
			header.size = in.left;
		if (how & 2)
			header.magic = SPEC_MAGIC;
		must(pwrite(fd, &header, sizeof(header), 0) == sizeof(header));
	}
	must(fcntl(fd, F_ADD_SEALS, how & 4 ? SEALS & ~F_SEAL_WRITE : SEALS) == 0);
	r = spec_open(&v, fd);
	if (r == 0) {
		must(!(how & 4));
		check(&v, in.left);
		spec_close(&v);
	}
	close(fd);
	return 0;
}
