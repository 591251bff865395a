/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spec.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

void spec_init(struct spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->header.nice = SPEC_NO_NICE;
	spec->header.umask = SPEC_NO_UMASK;
}

static uint64_t measure(char *const *strings, uint32_t *ret_count)
{
	uint64_t size = 0;
	uint32_t n = 0;

	for (; strings && strings[n]; n++)
		size += strlen(strings[n]) + 1;
	*ret_count = n;
	return size;
}

static char *put(char *at, char *const *strings)
{
	for (; strings && *strings; strings++)
		at = stpcpy(at, *strings) + 1;
	return at;
}

int spec_pack(const struct spec *spec, int *ret_fd, struct error *e)
{
	_cleanup_(closep) int fd = -1;
	_cleanup_(freep) char *bytes = NULL;
	struct spec_header header = spec->header;
	uint64_t size = sizeof(header) + strlen(spec->cwd) + 1;
	char *at;
	int r;

	header.magic = SPEC_MAGIC;
	size += measure(spec->argv, &header.argc);
	size += measure(spec->envp, &header.envc);
	header.size = size;
	if (size > SPEC_SIZE_MAX)
		return error_set(e, ERROR_TOO_LARGE,
				 "command and environment take %llu bytes; at most %u are possible",
				 (unsigned long long)size, SPEC_SIZE_MAX);
	bytes = malloc(size);
	fd = memfd_create("reeve-spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (!bytes || fd < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, errno, "memory for the spawn request");
	memcpy(bytes, &header, sizeof(header));
	at = put(bytes + sizeof(header), spec->argv);
	at = put(at, spec->envp);
	strcpy(at, spec->cwd);
	r = fd_write_all(fd, bytes, size);
	if (r < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, r, "memory for the spawn request");
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "seal the spawn request");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Points `vector` at `n` strings from `*at` on; false when they do not all end before `end`. */
static bool point(char **vector, uint32_t n, char **at, const char *end)
{
	for (uint32_t i = 0; i < n; i++) {
		char *zero = memchr(*at, 0, (size_t)(end - *at));

		if (!zero)
			return false;
		vector[i] = *at;
		*at = zero + 1;
	}
	return true;
}

static int view_vectors(struct spec_view *v)
{
	const struct spec_header *h = v->header;
	char *at = (char *)v->map + sizeof(*h), *end = (char *)v->map + h->size, *cwd;
	char **vectors = calloc((size_t)h->argc + h->envc + 3, sizeof(char *));

	if (!vectors)
		return -ENOMEM;
	v->vectors = vectors;
	v->argv = vectors + 1;
	v->envp = v->argv + h->argc + 1;
	if (h->argc == 0 || !point(v->argv, h->argc, &at, end) ||
	    !point(v->envp, h->envc, &at, end) || !point(&cwd, 1, &at, end))
		return -EBADMSG;
	v->cwd = cwd;
	return 0;
}

int spec_open(struct spec_view *v, int fd)
{
	struct spec_view view = { 0 };
	struct stat st;
	int r, seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    st.st_size < (off_t)sizeof(struct spec_header) || st.st_size > SPEC_SIZE_MAX)
		return -EBADMSG;
	/* Private and writable: execve takes `char *const[]`, nothing is written. */
	view.map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (view.map == MAP_FAILED)
		return -errno;
	view.header = view.map;
	r = -EBADMSG;
	if (view.header->magic != SPEC_MAGIC || view.header->size != (uint64_t)st.st_size ||
	    (uint64_t)view.header->argc + view.header->envc > (uint64_t)st.st_size) {
		munmap(view.map, (size_t)st.st_size);
		return r;
	}
	r = view_vectors(&view);
	if (r < 0) {
		spec_close(&view);
		return r;
	}
	*v = view;
	return 0;
}

void spec_close(struct spec_view *v)
{
	free(v->vectors);
	if (v->map)
		munmap(v->map, v->header->size);
	memset(v, 0, sizeof(*v));
}
