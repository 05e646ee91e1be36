/* Options: one table row each. The parser, --help and the tests work from the rows. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cmd;

/* Takes the argument of an option (NULL where it has none) to its variable. Gives NULL, or
 * what is wrong with it, to follow the quoted argument: "is not a size". */
typedef const char *option_set_fn(void *value, const char *argument);

struct option_row {
	const char *name;     /* long name without dashes; NULL ends a table */
	char letter;          /* 0: none */
	const char *argument; /* NULL: takes none */
	const char *help;
	option_set_fn *set;
	void *value;
};

struct option_list {
	const char **items;
	size_t count;
};

option_set_fn option_flag;  /* bool */
option_set_fn option_text;  /* const char * */
option_set_fn option_list;  /* struct option_list; may be given again */
option_set_fn option_size;  /* uint64_t, not 0 */
option_set_fn option_chunk; /* uint64_t, what the format allows */
option_set_fn option_level; /* struct option_level */
option_set_fn option_jobs;  /* unsigned */

struct option_level {
	bool given;
	int level; /* enum lmodel_level */
};

/* Rows that commands share. */
extern bool options_help;

#define OPTION_PLAIN_HTTP(variable) \
	{ "plain-http", 0, NULL, "without TLS, also to other machines than this one", option_flag, \
	  &(variable) }
#define OPTION_JOBS(variable) \
	{ "jobs", 'j', "N", "worker threads; 0 is one a processor, the default", option_jobs, \
	  &(variable) }
#define OPTION_LEVEL(variable) \
	{ "level", 0, "LEVEL", "fast, default or small: how hard to compress", option_level, \
	  &(variable) }
#define OPTION_CHUNK(variable) \
	{ "chunk-size", 0, "SIZE", "raw bytes a chunk: a multiple of 4KiB, 4KiB to 64MiB", \
	  option_chunk, &(variable) }
#define OPTION_JSON(variable) \
	{ "json", 0, NULL, "print one JSON document", option_flag, &(variable) }
#define OPTION_PROGRESS \
	{ "progress", 0, "MODE", "auto, none, or json: lines on standard error", option_progress, \
	  &progress_mode }
#define OPTIONS_COMMON \
	{ "quiet", 'q', NULL, "no notices", option_flag, &message_quiet }, \
	{ "verbose", 'v', NULL, "say what was done", option_flag, &message_verbose }, \
	OPTION_HELP, { NULL }
#define OPTION_HELP \
	{ "help", 'h', NULL, "show this help", option_flag, &options_help }

/* Parses argv[1..]; with `in_order` stops at the first operand. `*first` is the index of the
 * first operand, operands being moved to the end. LMODEL_OK, or EUSAGE with the complaint
 * printed. */
int options_parse(const struct cmd *cmd, int argc, char **argv, bool in_order, int *first);

/* The options as --help shows them, on standard output. */
void options_print(const struct option_row *rows);

#endif
