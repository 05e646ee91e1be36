/* One command of the program: what main.c dispatches on and what its help is made from. */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Operands that are addresses. */
enum remote_use {
	REMOTE_NEVER = 0,     /* are refused */
	REMOTE_READS,         /* ARCHIVE may be one: remote_open() */
	REMOTE_TALKS,         /* are the command's own business */
};

struct cmd {
	const char *name;     /* NULL: the program itself */
	const char *synopsis; /* what follows the name; the man page says the same */
	const char *summary;  /* one line, for the list of commands */
	const char *about;    /* for --help, lines of at most 80 columns */
	const struct option_row *options;
	bool secrets;         /* it holds keys in memory */
	enum remote_use remote;
	int least, most;      /* operands; most -1: any number */
	const char *missing;  /* name of the operand that is missed first */

	/* Gives the exit status. The operands are those left when the options are taken out. */
	int (*run)(int count, char **operands);
};

extern const struct cmd cmd_pack, cmd_list, cmd_inspect, cmd_extract, cmd_cat, cmd_audit,
	cmd_verify, cmd_diff, cmd_keygen, cmd_grant, cmd_revoke, cmd_rekey, cmd_sign, cmd_strip,
	cmd_repack, cmd_transform, cmd_push, cmd_pull;

#endif
