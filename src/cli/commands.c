/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include <string.h>

static const struct command daemon_commands[] = {
	{
		.name = "start",
		.summary = "start it, and wait until it answers",
		.options = &daemon_start_options,
		.run = cmd_daemon_start,
	},
	{
		.name = "stop",
		.summary = "end it, after its sessions",
		.options = &daemon_stop_options,
		.run = cmd_daemon_stop,
	},
	{
		.name = "restart",
		.summary = "replace it; the sessions go on",
		.run = cmd_daemon_restart,
	},
	{
		.name = "status",
		.summary = "say whether it runs (exit status 0: it does, 1: stale, 3: stopped)",
		.options = &daemon_status_options,
		.run = cmd_daemon_status,
	},
	{
		.name = "run",
		.summary = "be the daemon, in the foreground, with the log on stderr",
		.run = cmd_daemon_run,
	},
	{
		.name = "logs",
		.summary = "show its log",
		.options = &daemon_logs_options,
		.run = cmd_daemon_logs,
	},
	{
		.name = "install",
		.summary = "let every user observe with BPF (--observe)",
		.options = &daemon_install_options,
		.run = cmd_daemon_install,
	},
	{
		.name = "uninstall",
		.summary = "take that away again (--observe)",
		.options = &daemon_uninstall_options,
		.run = cmd_daemon_uninstall,
	},
	{ 0 },
};

static const struct command commands[] = {
	{
		.name = "run",
		.usage = "[--] COMMAND [ARG...]",
		.summary = "run a command as a session, here or in the background (-d)",
		.details =
			"In the foreground it behaves like the command itself: same output, same exit\n"
			"status, signals passed on. HUP or a lost terminal only detach.",
		.options = &run_options,
		.order = OPTIONS_FIRST,
		.operand = OPERAND_PROGRAM,
		.max = -1,
		.run = cmd_run,
	},
	{
		.name = "ps",
		.summary = "list sessions: those that run, or all (-a)",
		.options = &ps_options,
		.run = cmd_ps,
	},
	{
		.name = "logs",
		.usage = "ID...",
		.summary = "show what sessions have written",
		.options = &logs_options,
		.operand = OPERAND_ANY,
		.max = -1,
		.run = cmd_logs,
	},
	{
		.name = "attach",
		.usage = "ID",
		.summary = "connect to a session: its output, your input",
		.details =
			"Shows first what no attached client has seen yet. HUP detaches, and so does\n"
			"ending reeve itself; the session goes on.",
		.options = &attach_options_table,
		.operand = OPERAND_ANY,
		.min = 1,
		.max = 1,
		.run = cmd_attach,
	},
	{
		.name = "send",
		.usage = "ID [TEXT]",
		.summary = "write a line, or standard input, to a session's stdin",
		.options = &send_options,
		.operand = OPERAND_LIVE,
		.max = 2,
		.run = cmd_send,
	},
	{
		.name = "stop",
		.usage = "ID...",
		.summary = "end sessions by their stop plan, with all their processes",
		.options = &stop_options,
		.operand = OPERAND_LIVE,
		.max = -1,
		.run = cmd_stop,
	},
	{
		.name = "kill",
		.usage = "ID...",
		.summary = "send a signal to sessions",
		.options = &kill_options,
		.operand = OPERAND_LIVE,
		.max = -1,
		.run = cmd_kill,
	},
	{
		.name = "wait",
		.usage = "ID...",
		.summary = "wait until sessions have ended; give their exit status",
		.options = &wait_options,
		.operand = OPERAND_ANY,
		.max = -1,
		.run = cmd_wait,
	},
	{
		.name = "expect",
		.usage = "ID...",
		.summary = "the same as wait",
		.options = &wait_options,
		.operand = OPERAND_ANY,
		.max = -1,
		.run = cmd_wait,
	},
	{
		.name = "inspect",
		.usage = "ID...",
		.summary = "show all about sessions, as JSON",
		.options = &inspect_options,
		.operand = OPERAND_ANY,
		.max = -1,
		.run = cmd_inspect,
	},
	{
		.name = "tree",
		.usage = "ID...",
		.summary = "show the processes of sessions",
		.options = &tree_options,
		.operand = OPERAND_LIVE,
		.max = -1,
		.run = cmd_tree,
	},
	{
		.name = "screen",
		.usage = "ID",
		.summary = "show the screen of a session's terminal as it is now",
		.details =
			"Blank lines at the end are left out. Programs that draw on the alternate "
			"screen are\nshown as they stand there; an ended session shows what it left.\n",
		.options = &screen_options,
		.operand = OPERAND_ANY,
		.min = 1,
		.max = 1,
		.run = cmd_screen,
	},
	{
		.name = "rm",
		.usage = "ID...",
		.summary = "remove ended sessions and their output",
		.options = &rm_options,
		.operand = OPERAND_ANY,
		.max = -1,
		.run = cmd_rm,
	},
	{
		.name = "purge",
		.summary = "remove all ended sessions",
		.options = &purge_options,
		.run = cmd_purge,
	},
	{
		.name = "observe",
		.usage = "ID | -- COMMAND [ARG...]",
		.summary = "show what a session does: its files, hosts and processes",
		.details =
			"Without -f: what was seen since it was observed (run --observe). With a command: runs\n"
			"it, with what it does on stderr.",
		.options = &observe_options,
		.operand = OPERAND_ANY,
		.min = 1,
		.max = -1,
		.run = cmd_observe,
	},
	{
		.name = "report",
		.usage = "ID",
		.summary = "sum up what an observed session did",
		.options = &report_options,
		.operand = OPERAND_ANY,
		.min = 1,
		.max = 1,
		.run = cmd_report,
	},
	{
		.name = "capabilities",
		.summary = "show what can be observed here, by what, and what is in the way",
		.options = &capabilities_options,
		.run = cmd_capabilities,
	},
	{
		.name = "daemon",
		.usage = "COMMAND",
		.summary = "start, stop and look at the daemon",
		.details = "It is started by itself when it is needed (not with --no-autostart).",
		.commands = daemon_commands,
	},
	{
		.name = "completion",
		.usage = "bash|zsh|fish",
		.summary = "print a completion script for a shell",
		.operand = OPERAND_SHELL,
		.min = 1,
		.max = 1,
		.run = cmd_completion,
	},
	{
		.name = "version",
		.summary = "print the version",
		.run = cmd_version,
	},
	{
		.name = "help",
		.usage = "[COMMAND]",
		.summary = "show how a command is used",
		.operand = OPERAND_COMMAND,
		.max = 2,
		.run = cmd_help,
	},
	{ 0 },
};

const struct command *commands_table(void)
{
	return commands;
}

const struct command *command_find(const struct command *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}
