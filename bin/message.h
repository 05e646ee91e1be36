/* What the program says on standard error: lines that begin with "lmodel: ". */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>

#include <lmodel/error.h>

struct cmd;

extern bool message_quiet, message_verbose;

/* An error. Does not touch the exit status. */
void message_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Not with -q. */
void message_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* With -v only. */
void message_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tells an error of the library; gives the exit status. */
int message_fail(const struct lmodel_error *error);

/* A command line that makes no sense: one line, and where to look. Gives LMODEL_EUSAGE. */
int message_usage(const struct cmd *cmd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* There is nothing to clean up where the program itself allocates. */
__attribute__((noreturn)) void message_no_memory(void);

/* Whether something printed on standard output did not arrive; for loops that print. */
bool message_stdout_failed(void);

/* Closes standard output, says so when something did not arrive (a full disk is noticed here),
 * and gives the exit status that this makes of `status`. */
int message_close_stdout(int status);

/* For struct lmodel_run. */
void message_from_library(void *context, const char *line);

#endif
