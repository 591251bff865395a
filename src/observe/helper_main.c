/* SPDX-License-Identifier: Apache-2.0 */
/* helper_main.c - the program reeve-observe-helper; see helper.h. */
#include "base/parse.h"
#include "observe/helper.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	uint64_t sock;
	int r;

	(void)clearenv();
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		puts("Usage: reeve-observe-helper --socket FD\n"
		     "Loads the BPF programs of reeve and lets them observe processes of the user who runs it.\n"
		     "The daemon starts it; it needs CAP_BPF and CAP_PERFMON, and CAP_NET_ADMIN for all of network:\n"
		     "`sudo reeve daemon install --observe` grants them.");
		return 0;
	}
	if (argc != 3 || strcmp(argv[1], "--socket") != 0 ||
	    parse_u64(argv[2], 3, 1023, &sock) < 0) {
		fputs("Usage: reeve-observe-helper --socket FD\n", stderr);
		return 2;
	}
	r = helper_serve((int)sock);
	if (r < 0)
		fprintf(stderr, "reeve-observe-helper: %s\n", strerror(-r));
	_exit(r < 0); /* there is nothing to be done at the end */
}
