/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/logout_hint.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "client/daemon.h"
#include "client/logout.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTE_MAX 64U

bool logout_hint_is_due(const char *dir, pid_t keeper, uint64_t start_time)
{
	_cleanup_(freep) char *path = NULL;
	_cleanup_(freep) char *old = NULL;
	_cleanup_(closep) int fd = -EBADF;
	char note[NOTE_MAX];

	snprintf(note, sizeof(note), "%d %llu\n", (int)keeper, (unsigned long long)start_time);
	if (asprintf(&path, "%s/logout", dir) < 0)
		return false;
	if (fd_read_file(path, NOTE_MAX, &old, NULL) == 0 && strcmp(old, note) == 0)
		return false;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd >= 0 && fd_write_all(fd, note, strlen(note)) == 0;
}

void logout_hint(const struct paths *paths)
{
	struct daemon_status daemon;
	struct logout_facts facts;
	char text[LOGOUT_HINT_MAX];

	if (!logout_is_managed() || daemon_probe(paths, &daemon, NULL) < 0 || daemon.pid == 0 ||
	    !logout_hint_is_due(paths->dir, daemon.pid, daemon.start_time))
		return;
	logout_look(daemon.pid, &facts);
	if (logout_decide(&facts) == LOGOUT_ENDS)
		fprintf(stderr, "reeve: %s\n", logout_explain(&facts, text));
}
