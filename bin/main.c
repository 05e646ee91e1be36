/* lmodel: dispatch. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "remote.h"
#include "text.h"

static bool show_version;

static const struct option_row main_options[] = {
	OPTION_HELP,
	{ "version", 'V', NULL, "show the version", option_flag, &show_version },
	{ NULL },
};

static const struct cmd program = {
	.synopsis = "COMMAND [options] ...",
	.options = main_options,
};

static const struct cmd *const commands[] = {
	&cmd_pack, &cmd_list,   &cmd_inspect, &cmd_extract, &cmd_cat,   &cmd_audit, &cmd_verify,
	&cmd_diff, &cmd_keygen, &cmd_grant,   &cmd_revoke,  &cmd_rekey, &cmd_sign,
	&cmd_strip, &cmd_repack, &cmd_transform, &cmd_push, &cmd_pull,
};

static const struct cmd *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static void print_program_help(void)
{
	printf("Usage: lmodel %s\n\nArchives of model weights.\n\nCommands:\n", program.synopsis);
	for (size_t i = 0; i < COUNT(commands); i++)
		printf("  %-11s%s\n", commands[i]->name, commands[i]->summary);
	fputs("\nOptions:\n", stdout);
	options_print(main_options);
	fputs("\nExit status: 0 done, 1 failed, 2 usage, 3 no key, 4 corrupt, 5 unsupported,\n"
	      "6 over a limit.\n\n"
	      "'lmodel help COMMAND' tells more, and so does each manual, lmodel-COMMAND(1).\n",
	      stdout);
}

static void print_command_help(const struct cmd *cmd)
{
	printf("Usage: lmodel %s %s\n\n%s\nOptions:\n", cmd->name, cmd->synopsis, cmd->about);
	options_print(cmd->options);
}

static int unknown_command(const char *name)
{
	char *escaped = text_escape(name);

	message_usage(&program, "unknown command '%s'", escaped);
	free(escaped);
	return LMODEL_EUSAGE;
}

/* help [COMMAND] */
static int run_help(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc > 2)
		return message_usage(&program, "help takes one command");
	if (argc < 2) {
		print_program_help();
		return LMODEL_OK;
	}
	cmd = find_command(argv[1]);
	if (cmd == NULL)
		return unknown_command(argv[1]);
	print_command_help(cmd);
	return LMODEL_OK;
}

/* No core file and no debugger of the same user's gets at the keys. The limit alone would not do:
 * the kernel ignores it where cores go to a program. Commands without keys stay traceable. */
static void guard_memory(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int run_command(const struct cmd *cmd, int argc, char **argv)
{
	int first, count;

	if (cmd->secrets)
		guard_memory();
	if (options_parse(cmd, argc, argv, false, &first) != LMODEL_OK)
		return LMODEL_EUSAGE;
	if (options_help) {
		print_command_help(cmd);
		return LMODEL_OK;
	}
	count = argc - first;
	if (remote_operands(cmd, count, argv + first) != LMODEL_OK)
		return LMODEL_EUSAGE;
	if (count < cmd->least)
		return message_usage(cmd, "%s is missing", cmd->missing);
	if (cmd->most >= 0 && count > cmd->most)
		return message_usage(cmd, "%s is one argument too many",
				     TEXT_QUOTE(argv[first + cmd->most]));
	return cmd->run(count, argv + first);
}

static int run_program(int argc, char **argv)
{
	const struct cmd *cmd;
	int first;

	if (options_parse(&program, argc, argv, true, &first) != LMODEL_OK)
		return LMODEL_EUSAGE;
	if (options_help) {
		print_program_help();
		return LMODEL_OK;
	}
	if (show_version) {
		printf("lmodel %s\n", lmodel_version());
		return LMODEL_OK;
	}
	if (first >= argc)
		return message_usage(&program, "a command is missing");
	argc -= first;
	argv += first;
	if (strcmp(argv[0], "help") == 0)
		return run_help(argc, argv);
	cmd = find_command(argv[0]);
	if (cmd == NULL)
		return unknown_command(argv[0]);
	return run_command(cmd, argc, argv);
}

/* An archive opened as descriptor 1 would be written over. The wrong way round, so that use
 * of a stream that was closed stays an error. */
static void fill_standard_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
				_exit(LMODEL_EFAILED);
}

int main(int argc, char **argv)
{
	fill_standard_streams();
	signal(SIGPIPE, SIG_IGN);
	return message_close_stdout(run_program(argc, argv));
}
