/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - the one table of commands: dispatch, --help and completions come from it. */
#pragma once
#include "cli/cli.h"
#include "cli/options.h"

/* Options with the structure that they are read into. */
struct option_table {
	const struct option_spec *specs; /* ends with a NULL name */
	size_t values_size;
};

/* What completion offers for operands. */
enum operand {
	OPERAND_NONE,
	OPERAND_PROGRAM,
	OPERAND_LIVE, /* sessions that run */
	OPERAND_ANY,  /* all sessions */
	OPERAND_COMMAND,
	OPERAND_SHELL,
};

struct command {
	const char *name;
	const char *usage;                  /* the operands, as --help shows them */
	const char *summary;                /* one line */
	const char *details;                /* more lines for --help; NULL for none */
	const struct option_table *options; /* NULL: none but --help */
	enum options_order order;
	enum operand operand;
	int min, max; /* number of operands; max -1: no limit */
	const struct command
		*commands; /* its own commands, instead of `run`; ends with a NULL name */
	/* Returns the exit status. `values` is what `options` says. */
	int (*run)(struct cli *cli, const void *values, int n, char **operands);
};

/* All of them, ending with a NULL name. */
const struct command *commands_table(void);

const struct command *command_find(const struct command *table, const char *name);

/* Prints how `command`, which belongs to `parent` (NULL: to reeve itself), is used. */
void command_help(FILE *to, const struct command *parent, const struct command *command);

/* Prints the list of all commands. */
void commands_help(FILE *to);

/* Options of commands, and what they do. */
extern const struct option_table capabilities_options, observe_options, report_options;
extern const struct option_table run_options, ps_options, logs_options, attach_options_table,
	send_options, stop_options, kill_options, wait_options, inspect_options, rm_options,
	purge_options, tree_options, screen_options, daemon_start_options, daemon_stop_options,
	daemon_status_options, daemon_logs_options, daemon_install_options,
	daemon_uninstall_options;

int cmd_run(struct cli *cli, const void *values, int n, char **operands);
int cmd_ps(struct cli *cli, const void *values, int n, char **operands);
int cmd_logs(struct cli *cli, const void *values, int n, char **operands);
int cmd_attach(struct cli *cli, const void *values, int n, char **operands);
int cmd_send(struct cli *cli, const void *values, int n, char **operands);
int cmd_stop(struct cli *cli, const void *values, int n, char **operands);
int cmd_kill(struct cli *cli, const void *values, int n, char **operands);
int cmd_wait(struct cli *cli, const void *values, int n, char **operands);
int cmd_inspect(struct cli *cli, const void *values, int n, char **operands);
int cmd_rm(struct cli *cli, const void *values, int n, char **operands);
int cmd_purge(struct cli *cli, const void *values, int n, char **operands);
int cmd_tree(struct cli *cli, const void *values, int n, char **operands);
int cmd_screen(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_start(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_stop(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_restart(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_status(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_run(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_logs(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_install(struct cli *cli, const void *values, int n, char **operands);
int cmd_daemon_uninstall(struct cli *cli, const void *values, int n, char **operands);
int cmd_completion(struct cli *cli, const void *values, int n, char **operands);
int cmd_capabilities(struct cli *cli, const void *values, int n, char **operands);
int cmd_observe(struct cli *cli, const void *values, int n, char **operands);
int cmd_report(struct cli *cli, const void *values, int n, char **operands);
int cmd_version(struct cli *cli, const void *values, int n, char **operands);
int cmd_help(struct cli *cli, const void *values, int n, char **operands);
