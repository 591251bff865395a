/* SPDX-License-Identifier: Apache-2.0 */
/* sanitizer.c - part of the programs in a sanitized build only: reports go to REEVE_DIR.
 *
 * The daemon has no terminal and is started again when it dies, so a report must be left where the
 * test that started it looks: $REEVE_DIR/sanitizer.PID. */
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void report_to_reeve_dir(void)
{
	char path[256];
	const char *dir = getenv("REEVE_DIR");

	if (dir && snprintf(path, sizeof(path), "%s/sanitizer", dir) < (int)sizeof(path))
		__sanitizer_set_report_path(path);
}
