/* SPDX-License-Identifier: Apache-2.0 */
/* completion.c - completion scripts for three shells, out of the command table. */
#include "cli/commands.h"
#include <string.h>

static const struct option_spec *specs_of(const struct command *command)
{
	static const struct option_spec none[] = { { 0 } };

	return command->options ? command->options->specs : none;
}

/* Calls `print` for each command that can be run, with its parent. */
static void each(void (*print)(const struct command *parent, const struct command *command))
{
	for (const struct command *c = commands_table(); c->name; c++) {
		if (!c->commands)
			print(NULL, c);
		for (const struct command *sub = c->commands; sub && sub->name; sub++)
			print(c, sub);
	}
}

static void print_names(const struct command *table, const char *between)
{
	for (const struct command *c = table; c->name; c++)
		printf("%s%s", c == table ? "" : between, c->name);
}

/* Text inside single quotes; zsh also minds colons and brackets. */
static void print_quoted(const char *text, const char *escaped)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			printf("%s%c", strchr(escaped, *text) ? "\\" : "", *text);
	}
}

/* --- bash ------------------------------------------------------------------------------------ */

static void bash_case(const struct command *parent, const struct command *command)
{
	static const char *const operands[] = {
		[OPERAND_NONE] = "",   [OPERAND_PROGRAM] = "program", [OPERAND_LIVE] = "live",
		[OPERAND_ANY] = "any", [OPERAND_COMMAND] = "command", [OPERAND_SHELL] = "shell",
	};

	printf("\t'%s%s%s')\n\t\toptions='--help", parent ? parent->name : "", parent ? " " : "",
	       command->name);
	for (const struct option_spec *o = specs_of(command); o->name; o++)
		printf(" --%s", o->name);
	printf("'\n\t\toperand='%s'\n", operands[command->operand]);
	fputs("\t\tvalued='", stdout);
	for (const struct option_spec *o = specs_of(command); o->name; o++) {
		if (o->argument)
			printf(" --%s ", o->name);
		if (o->argument && o->letter)
			printf(" -%c ", o->letter);
	}
	fputs("'\n\t\tcase $previous in\n", stdout);
	for (const struct option_spec *o = specs_of(command); o->name; o++)
		if (o->choices)
			printf("\t\t--%s) choices='%s' ;;\n", o->name, o->choices);
	fputs("\t\tesac\n\t\t;;\n", stdout);
}

static void print_bash(void)
{
	fputs("# bash completion for reeve\n"
	      "_reeve()\n"
	      "{\n"
	      "\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal command= options= operand= valued= choices= i=1\n"
	      "\tCOMPREPLY=()\n"
	      "\twhile ((i < COMP_CWORD)) && [[ ${COMP_WORDS[i]} == -* ]]; do ((i++)); done\n"
	      "\t((i < COMP_CWORD)) && command=${COMP_WORDS[i]}\n"
	      "\tif [[ $command == daemon ]]; then\n"
	      "\t\t((i++))\n"
	      "\t\t((i < COMP_CWORD)) && command=\"daemon ${COMP_WORDS[i]}\"\n"
	      "\tfi\n"
	      "\tcase $command in\n"
	      "\t'')\n"
	      "\t\tCOMPREPLY=($(compgen -W '--no-autostart --version --help ",
	      stdout);
	print_names(commands_table(), " ");
	fputs("' -- \"$current\"))\n\t\treturn\n\t\t;;\n\tdaemon)\n\t\tCOMPREPLY=($(compgen -W '",
	      stdout);
	print_names(command_find(commands_table(), "daemon")->commands, " ");
	fputs("' -- \"$current\"))\n\t\treturn\n\t\t;;\n", stdout);
	each(bash_case);
	fputs("\tesac\n"
	      "\tif [[ -n $choices ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$choices\" -- \"$current\"))\n"
	      "\telif [[ $valued == *\" $previous \"* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -f -- \"$current\"))\n"
	      "\telif [[ $current == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
	      "\telse\n"
	      "\t\tcase $operand in\n"
	      "\t\tprogram) COMPREPLY=($(compgen -c -f -- \"$current\")) ;;\n"
	      "\t\tlive) COMPREPLY=($(compgen -W \"$(reeve --no-autostart ps --names 2>/dev/null)\""
	      " -- \"$current\")) ;;\n"
	      "\t\tany) COMPREPLY=($(compgen -W \"@last $(reeve --no-autostart ps -a --names "
	      "2>/dev/null)\" -- \"$current\")) ;;\n"
	      "\t\tcommand) COMPREPLY=($(compgen -W '",
	      stdout);
	print_names(commands_table(), " ");
	fputs("' -- \"$current\")) ;;\n"
	      "\t\tshell) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$current\")) ;;\n"
	      "\t\tesac\n"
	      "\tfi\n"
	      "}\n"
	      "complete -F _reeve reeve\n",
	      stdout);
}

/* --- zsh ------------------------------------------------------------------------------------- */

static void zsh_option(const struct option_spec *o)
{
	const char *repeat = o->type == OPTION_WORDS ? "*" : "";
	char names[80];

	if (o->letter)
		snprintf(names, sizeof(names), "'{-%c,--%s}'", o->letter, o->name);
	else
		snprintf(names, sizeof(names), "--%s", o->name);
	printf(" \\\n\t\t\t'%s%s[", repeat, names);
	print_quoted(o->help ? o->help : "", "[]:\\");
	fputs("]", stdout);
	if (o->argument) {
		fputs(":", stdout);
		print_quoted(o->argument, "[]:\\");
		if (o->choices)
			printf(":(%s)", o->choices);
		else
			fputs(":_files", stdout);
	}
	fputs("'", stdout);
}

static void zsh_case(const struct command *parent, const struct command *command)
{
	static const char *const operands[] = {
		[OPERAND_NONE] = "",
		[OPERAND_PROGRAM] = "'*::command:_normal'",
		[OPERAND_LIVE] = "'*:session:_reeve_live'",
		[OPERAND_ANY] = "'*:session:_reeve_any'",
		[OPERAND_COMMAND] = "'1:command:_reeve_commands'",
		[OPERAND_SHELL] = "'1:shell:(bash zsh fish)'",
	};

	printf("\t'%s%s%s')\n\t\t_arguments %s'--help[show this]'", parent ? parent->name : "",
	       parent ? " " : "", command->name, command->order == OPTIONS_FIRST ? "-A '-*' " : "");
	for (const struct option_spec *o = specs_of(command); o->name; o++)
		zsh_option(o);
	printf(" %s\n\t\t;;\n", operands[command->operand]);
}

static void zsh_described(const struct command *table)
{
	for (; table->name; table++) {
		printf("\t\t'%s:", table->name);
		print_quoted(table->summary, ":\\");
		fputs("'\n", stdout);
	}
}

static void print_zsh(void)
{
	fputs("#compdef reeve\n"
	      "_reeve_live() {\n"
	      "\tcompadd -- ${(f)\"$(reeve --no-autostart ps --names 2>/dev/null)\"}\n"
	      "}\n"
	      "_reeve_any() {\n"
	      "\tcompadd -- @last ${(f)\"$(reeve --no-autostart ps -a --names 2>/dev/null)\"}\n"
	      "}\n"
	      "_reeve_commands() {\n\tlocal -a commands=(\n",
	      stdout);
	zsh_described(commands_table());
	fputs("\t)\n\t_describe command commands\n}\n_reeve_daemon() {\n\tlocal -a commands=(\n",
	      stdout);
	zsh_described(command_find(commands_table(), "daemon")->commands);
	fputs("\t)\n\t_describe command commands\n}\n"
	      "_reeve() {\n"
	      "\tlocal curcontext=$curcontext state line command\n"
	      "\t_arguments -C '--no-autostart[do not start a daemon]' '--version[print the version]'"
	      " '--help[show this]' '1: :_reeve_commands' '*:: :->rest' && return\n"
	      "\tcommand=$words[1]\n"
	      "\tif [[ $command == daemon ]]; then\n"
	      "\t\tif ((CURRENT == 2)); then _reeve_daemon; return; fi\n"
	      "\t\tcommand=\"daemon $words[2]\"\n"
	      "\t\tshift words; ((CURRENT--))\n"
	      "\tfi\n"
	      "\tcase $command in\n",
	      stdout);
	each(zsh_case);
	fputs("\tesac\n}\n_reeve \"$@\"\n", stdout);
}

/* --- fish ------------------------------------------------------------------------------------ */

static void fish_condition(const struct command *parent, const struct command *command)
{
	printf("complete -c reeve -n '__fish_seen_subcommand_from %s", command->name);
	if (parent)
		printf("; and __fish_seen_subcommand_from %s", parent->name);
	else
		printf("; and not __fish_seen_subcommand_from daemon");
	fputs("'", stdout);
}

static void fish_command(const struct command *parent, const struct command *command)
{
	static const char *const operands[] = {
		[OPERAND_NONE] = NULL,
		[OPERAND_PROGRAM] = "-a '(__fish_complete_subcommand)'",
		[OPERAND_LIVE] = "-f -a '(reeve --no-autostart ps --names 2>/dev/null)'",
		[OPERAND_ANY] = "-f -a '@last (reeve --no-autostart ps -a --names 2>/dev/null)'",
		[OPERAND_COMMAND] = "-f -a '(reeve help | string match -r \"^  \\\\w+\")'",
		[OPERAND_SHELL] = "-f -a 'bash zsh fish'",
	};

	for (const struct option_spec *o = specs_of(command); o->name; o++) {
		fish_condition(parent, command);
		printf(" -l %s", o->name);
		if (o->letter)
			printf(" -s %c", o->letter);
		fputs(o->argument ? " -r" : " -f", stdout);
		if (o->choices)
			printf(" -f -a '%s'", o->choices);
		fputs(" -d '", stdout);
		print_quoted(o->help ? o->help : "", "\\");
		fputs("'\n", stdout);
	}
	if (operands[command->operand]) {
		fish_condition(parent, command);
		printf(" %s\n", operands[command->operand]);
	}
}

static void fish_names(const struct command *table, const char *condition)
{
	for (; table->name; table++) {
		printf("complete -c reeve -f -n '%s' -a %s -d '", condition, table->name);
		print_quoted(table->summary, "\\");
		fputs("'\n", stdout);
	}
}

static void print_fish(void)
{
	fputs("# fish completion for reeve\n"
	      "complete -c reeve -n __fish_use_subcommand -l no-autostart -d 'do not start a daemon'\n"
	      "complete -c reeve -n __fish_use_subcommand -l version -d 'print the version'\n",
	      stdout);
	fish_names(commands_table(), "__fish_use_subcommand");
	fish_names(command_find(commands_table(), "daemon")->commands,
		   "test (count (commandline -opc)) = 2; and __fish_seen_subcommand_from daemon");
	each(fish_command);
}

int cmd_completion(struct cli *cli, const void *values, int n, char **operands)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = {
		{ "bash", print_bash },
		{ "zsh", print_zsh },
		{ "fish", print_fish },
	};

	(void)values;
	(void)n;
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (strcmp(shells[i].shell, operands[0]) == 0) {
			shells[i].print();
			return 0;
		}
	}
	return cli_usage(cli, "no completion for \"%s\"; there is bash, zsh and fish", operands[0]);
}
