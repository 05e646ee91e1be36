#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "progress.h"

bool message_quiet, message_verbose;

__attribute__((format(printf, 1, 0)))
static void say(const char *format, va_list args)
{
	progress_clear();
	fputs("lmodel: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void message_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void message_notice(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!message_quiet)
		say(format, args);
	va_end(args);
}

void message_detail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (message_verbose)
		say(format, args);
	va_end(args);
}

int message_fail(const struct lmodel_error *error)
{
	message_error("%s", error->message);
	return (int)error->code;
}

int message_usage(const struct cmd *cmd, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	if (cmd != NULL && cmd->name != NULL)
		fprintf(stderr, "Try 'lmodel %s --help'.\n", cmd->name);
	else
		fputs("Try 'lmodel --help'.\n", stderr);
	return LMODEL_EUSAGE;
}

void message_no_memory(void)
{
	message_error("out of memory");
	exit(LMODEL_EFAILED);
}

void message_from_library(void *context, const char *line)
{
	(void)context;
	message_notice("%s", line);
}
