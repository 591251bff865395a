/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - runs a fuzz target over the files of a directory: the corpus as a test, with any
 * compiler. */
#include "input.h"
#include <errno.h>

#define FILE_MAX (1U << 20)

/* In memory of its own size, so that a sanitizer sees a read beyond it. */
static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *all = malloc(FILE_MAX), *data;
	size_t size;

	if (!file || !all) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	size = fread(all, 1, FILE_MAX, file);
	fclose(file);
	data = realloc(all, size ? size : 1);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	unsigned n = 0;

	if (!dir) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	for (struct dirent *d; (d = readdir(dir));) {
		char path[4096];

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], d->d_name);
		if (run_file(path))
			return 1;
		n++;
	}
	closedir(dir);
	printf("%u inputs\n", n);
	return n == 0;
}
