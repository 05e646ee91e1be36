#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	return error->code != LMODEL_OK ? (int)error->code : LMODEL_EFAILED;
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

static int stdout_errno;

bool message_stdout_failed(void)
{
	if (!ferror(stdout))
		return false;
	if (stdout_errno == 0)
		stdout_errno = errno;
	return true;
}

int message_close_stdout(int status)
{
	bool failed;

	errno = 0;
	failed = fflush(stdout) != 0 || ferror(stdout);
	if (stdout_errno == 0)
		stdout_errno = errno;
	fclose(stdout);
	if (!failed)
		return status;
	message_error("standard output: %s",
		      stdout_errno != 0 ? strerror(stdout_errno) : "write error");
	return status == LMODEL_OK ? LMODEL_EFAILED : status;
}

void message_from_library(void *context, const char *line)
{
	(void)context;
	message_notice("%s", line);
}
