/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - which program the engine is. The one that serves is kept open: what lies at its path
 * may be another one's after an upgrade, which the sessions' memory and this keeper do not fit. So
 * a new one is run when a new engine is asked for, and never because one has died; and when it does
 * not come to serve, the one before goes on. */
#include "base/fd.h"
#include "base/log.h"
#include "keeper/keeper.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void program_keep(struct keeper *k, pid_t engine)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)engine);
	k->program = open(engine > 0 ? path : k->engine_path, O_PATH | O_CLOEXEC);
	k->new_program = -1;
}

void program_try_new(struct keeper *k)
{
	int fd = open(k->engine_path, O_PATH | O_CLOEXEC);
	struct stat is, was;

	k->new_program = fd_close(k->new_program);
	if (fd >= 0 && fstat(fd, &is) == 0 && k->program >= 0 && fstat(k->program, &was) == 0 &&
	    (is.st_dev != was.st_dev || is.st_ino != was.st_ino))
		k->new_program = fd;
	else
		fd_close(fd);
}

int program_execute(struct keeper *k, char *const argv[])
{
	return link_execute(k->new_program >= 0 ? k->new_program : k->program, k->engine_path,
			    argv);
}

void program_serves(struct keeper *k)
{
	if (k->new_program < 0)
		return;
	log_info("the engine is a new program");
	fd_close(k->program);
	k->program = k->new_program;
	k->new_program = -1;
}

bool program_give_up(struct keeper *k)
{
	if (k->new_program < 0)
		return false;
	log_error("%s, which was installed since, does not serve these sessions: the engine before "
		  "it goes on; to change over, end them (`reeve daemon stop`)",
		  k->engine_path);
	k->new_program = fd_close(k->new_program);
	return true;
}
