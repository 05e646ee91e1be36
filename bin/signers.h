/* Publishers' signatures on the command line: whose readers ask for, and the key that makes one. */
#ifndef SIGNERS_H
#define SIGNERS_H

#include <stdbool.h>

#include "options.h"

struct cmd;
struct lmodel_archive;
struct lmodel_error;

struct signer_options {
	const char *file; /* after signers_check() also $LMODEL_SIGNERS; NULL: none is asked for */
	bool require;
};

#define OPTIONS_SIGNERS(signers) \
	{ "signers", 0, "FILE", "who has to have signed it: allowed_signers or minisign keys", \
	  option_text, &(signers).file }, \
	{ "require-signature", 0, NULL, "fail without --signers or $LMODEL_SIGNERS", option_flag, \
	  &(signers).require }

/* What does not go together. */
int signers_check(const struct cmd *cmd, struct signer_options *signers);

/* Whether one of them has signed what the archive is now; to be asked before a tensor is read.
 * `*principal` is fresh memory, printable; NULL when nobody is asked for. */
int signers_verify(const struct lmodel_archive *archive, const char *path,
		   const struct signer_options *signers, char **principal,
		   struct lmodel_error *error);

/* The same for commands that end where nobody has: tells, and gives the exit status. */
int signers_demand(const struct lmodel_archive *archive, const char *path,
		   const struct signer_options *signers);

/* Whether the file can sign, before anything is done that takes long. */
int signers_check_key(const char *path);

#endif
