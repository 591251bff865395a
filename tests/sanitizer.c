/* SPDX-License-Identifier: Apache-2.0 */
/* sanitizer.c - part of the programs in a sanitized build only: where reports go, and how a program
 * at a terminal looks for leaks.
 *
 * The daemon has no terminal and is started again when it dies, so a report must be left where the
 * test that started it looks: $REEVE_DIR/sanitizer.PID. */
#include <sanitizer/common_interface_defs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static bool at_terminal;

__attribute__((constructor)) static void report_to_reeve_dir(void)
{
	char path[256];
	const char *dir = getenv("REEVE_DIR");

	if (dir && snprintf(path, sizeof(path), "%s/sanitizer", dir) < (int)sizeof(path))
		__sanitizer_set_report_path(path);
	at_terminal = isatty(STDIN_FILENO);
}

/* LeakSanitizer attaches to its own process and waits until that has stopped. The SIGCONT that the
 * kernel sends when a terminal is hung up would take this stop away, and both would wait for ever.
 * So a copy out of the terminal's reach looks for leaks, and ends as the program would. */
__attribute__((destructor)) static void look_elsewhere(void)
{
	pid_t pid = at_terminal ? fork() : -1;
	int status;

	if (pid < 0)
		return;
	if (pid == 0) {
		setsid();
		return;
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}
