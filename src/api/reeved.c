/* SPDX-License-Identifier: Apache-2.0 */
/* reeved.c - the engine's program: started by the keeper, loads the slots, serves until told to
 * leave. */
#include "api/describe.h"
#include "api/routes.h"
#include "base/fd.h"
#include "base/log.h"
#include "draw/wire.h"
#include "engine/engine.h"
#include "observe/probe_serve.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

static int usage(FILE *to, int status)
{
	fputs("Usage: reeved --dir DIR --keeper FD [--reads FD]\n"
	      "       reeved --draw\n"
	      "       reeved --probe\n"
	      "       reeved --routes\n"
	      "The engine of the reeve daemon. reeve-keeper starts it; `reeve daemon start` starts both.\n"
	      "With --draw it draws screens for the engine that started it, at descriptor 0; with --probe it\n"
	      "tries out what can be observed.\n"
	      "With --routes it prints the API's routes, fields and errors as JSON lines.\n",
	      to);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "keeper", required_argument, NULL, 'k' },
		{ "reads", required_argument, NULL, 'R' },
		{ "draw", no_argument, NULL, 'w' },
		{ "probe", no_argument, NULL, 'p' },
		{ "routes", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static struct engine engine = { .reads_fd = -1 };
	struct error err = { 0 };
	int c, sock = -1;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			engine.dir = optarg;
			break;
		case 'k':
			sock = atoi(optarg);
			break;
		case 'R':
			engine.reads_fd = atoi(optarg);
			break;
		case 'w':
			return screen_serve(0) < 0;
		case 'p':
			return probe_serve(0) < 0;
		case 'r':
			describe_api(stdout);
			return 0;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (!engine.dir || sock < 3 || optind != argc)
		return usage(stderr, 2);
	log_set(2, log_level_from_env(LEVEL_INFO), "reeved");
	(void)prctl(PR_SET_NAME, "reeved"); /* whatever name it was executed by */
	signal(SIGPIPE, SIG_IGN);
	fd_raise_nofile(NULL);
	if (engine_load(&engine, sock, &err) < 0 || routes_serve(&engine, &err) < 0 ||
	    engine_run(&engine, &err) < 0) {
		log_error("%s", err.message);
		return 1;
	}
	routes_done(&engine);
	log_info("left");
	return 0;
}
