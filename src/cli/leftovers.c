/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/leftovers.h"
#include <stdio.h>

void leftovers_tell(struct cli *cli, const char *id)
{
	json_t *session = NULL, *items, *item;
	struct error e;
	size_t i;

	if (cli_call_session(cli, "GET", id, "", NULL, &session, &e) < 0)
		return;
	items = json_object_get(json_object_get(session, "exit"), "leftovers");
	if (items)
		fputs("reeve: the command has ended and left processes, which is a failure "
		      "(--leftovers fail); they are being stopped:\n",
		      stderr);
	json_array_foreach(items, i, item)
	{
		const char *command = json_string_value(json_object_get(item, "command"));

		fprintf(stderr, "%9lld  %s\n",
			(long long)json_integer_value(json_object_get(item, "pid")),
			command ? command : "");
	}
	if (items)
		fputs("reeve: let the command end them, or wait for them, before it ends; or say "
		      "--leftovers kill\n",
		      stderr);
	json_decref(session);
}
