/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>

/* A program started without stdin, stdout or stderr would else write into its own sockets. */
static void open_missing(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

/* Hash tables want randomness; what the kernel gave to the process spares jansson a file. */
static void seed_json(void)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	size_t seed = 0;

	if (random)
		memcpy(&seed, random, sizeof(seed));
	json_object_seed(seed ? seed : 1);
}

struct global_values {
	bool no_autostart;
	bool version;
};

static const struct option_spec global_options[] = {
	{ .name = "no-autostart", .offset = offsetof(struct global_values, no_autostart) },
	{ .name = "version", .letter = 'V', .offset = offsetof(struct global_values, version) },
	{ 0 },
};

static int run_command(struct cli *cli, const struct command *command, int argc, char **argv)
{
	static const struct option_spec none[] = { { 0 } };
	const struct option_table *options = command->options;
	_cleanup_(freep) void *values = calloc(1, options ? options->values_size : 1);
	struct error e = { 0 };
	int first, n;
	bool help;

	cli->parent = cli->command;
	cli->command = command;
	if (!values)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "out of memory" });
	if (options_parse(options ? options->specs : none, command->order, argc, argv, values,
			  &first, &help, &e) < 0)
		return cli_usage(cli, "%s", e.message);
	if (help) {
		command_help(stdout, cli->parent, command);
		return 0;
	}
	n = argc - first;
	if (n < command->min)
		return cli_usage(cli, "%s is missing", command->usage);
	if (command->max >= 0 && n > command->max)
		return cli_usage(cli, "\"%s\" is one argument too many",
				 argv[first + command->max]);
	return command->run(cli, values, n, argv + first);
}

/* Finds the command that `argv` begins with, and runs it. */
static int dispatch(struct cli *cli, int argc, char **argv)
{
	const struct command *table = commands_table(), *command;

	for (;;) {
		if (argc < 1) {
			if (cli->command)
				command_help(stderr, NULL, cli->command);
			else
				commands_help(stderr);
			return EXIT_USAGE;
		}
		if (cli->command &&
		    (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
			command_help(stdout, NULL, cli->command);
			return 0;
		}
		command = command_find(table, argv[0]);
		if (!command)
			return cli_usage(cli, "there is no command \"%s\"", argv[0]);
		if (!command->commands)
			return run_command(cli, command, argc, argv);
		cli->command = command;
		table = command->commands;
		argc--;
		argv++;
	}
}

static int start(struct cli *cli, int argc, char **argv)
{
	struct global_values global = { 0 };
	struct error e = { 0 };
	bool help;
	int first;

	if (options_parse(global_options, OPTIONS_FIRST, argc, argv, &global, &first, &help, &e) <
	    0)
		return cli_usage(cli, "%s", e.message);
	if (help) {
		commands_help(stdout);
		return 0;
	}
	if (global.version)
		return cmd_version(cli, NULL, 0, NULL);
	if (global.no_autostart)
		cli->client_flags |= CLIENT_NO_AUTOSTART;
	return dispatch(cli, argc - first, argv + first);
}

int main(int argc, char **argv)
{
	struct cli cli = { 0 };
	int status;

	open_missing();
	seed_json();
	status = start(&cli, argc, argv);
	client_free(cli.client);
	if (fflush(stdout) != 0)
		fprintf(stderr, "reeve: write to stdout: %s\n", strerrordesc_np(errno));
	else if (ferror(stdout) && status == 0) /* else it was told */
		fprintf(stderr, "reeve: write to stdout failed\n");
	return ferror(stdout) && status == 0 ? EXIT_FAILED : status;
}
