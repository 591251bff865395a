/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

static const struct option_spec no_options[] = { { 0 } };

static void print_table(FILE *to, const struct command *table)
{
	for (; table->name; table++)
		fprintf(to, "  %-14s%s\n", table->name, table->summary);
}

void commands_help(FILE *to)
{
	fputs("Usage: reeve [--no-autostart] COMMAND [OPTION...] [ARG...]\n"
	      "\n"
	      "Keeps processes: they outlive the terminal, the client and a crash of the daemon.\n"
	      "\n"
	      "Commands:\n",
	      to);
	print_table(to, commands_table());
	fputs("\n"
	      "A session is named by its id, the beginning of one, its number, its name, or @last.\n"
	      "Each command explains itself: reeve COMMAND --help\n",
	      to);
}

void command_help(FILE *to, const struct command *parent, const struct command *command)
{
	fprintf(to, "Usage: reeve %s%s%s", parent ? parent->name : "", parent ? " " : "",
		command->name);
	if (!command->commands)
		fputs(" [OPTION...]", to);
	fprintf(to, "%s%s\n\n%c%s.\n", command->usage ? " " : "",
		command->usage ? command->usage : "", command->summary[0] & ~0x20,
		command->summary + 1);
	if (command->details)
		fprintf(to, "%s\n", command->details);
	if (command->commands) {
		fputs("\nCommands:\n", to);
		print_table(to, command->commands);
		return;
	}
	fputs("\nOptions:\n", to);
	options_print(to, command->options ? command->options->specs : no_options);
}

int cmd_help(struct cli *cli, const void *values, int n, char **operands)
{
	const struct command *parent = NULL, *command = NULL;
	const struct command *table = commands_table();

	(void)values;
	if (n <= 0) {
		commands_help(stdout);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		parent = command;
		command = table ? command_find(table, operands[i]) : NULL;
		if (!command)
			return cli_usage(cli, "there is no command \"%s\"", operands[i]);
		table = command->commands;
	}
	command_help(stdout, parent, command);
	return 0;
}

int cmd_version(struct cli *cli, const void *values, int n, char **operands)
{
	(void)cli;
	(void)values;
	(void)n;
	(void)operands;
	puts("reeve " REEVE_VERSION);
	return 0;
}
