/* Archives that are elsewhere: operands that are addresses. */
#ifndef REMOTE_H
#define REMOTE_H

#include <stdbool.h>

struct cmd;
struct lmodel_archive;

struct remote_options {
	bool plain_http, no_cache;
};

/* Needs options.h. */
#define OPTIONS_REMOTE(remote) \
	OPTION_PLAIN_HTTP((remote).plain_http), \
	{ "no-cache", 0, NULL, "keep nothing of an archive that is elsewhere", option_flag, \
	  &(remote).no_cache }

/* What an address is called from here on: without what follows "?", which may be a secret. Other
 * text stays as it is. remote_open() knows the address by the pointer. */
const char *remote_name(const char *text);

/* Takes the names for all operands; those of a command that reads nothing that is elsewhere must be
 * files. Gives the exit status. */
int remote_operands(const struct cmd *cmd, int count, char **operands);

/* Opens a file, "-", or what is elsewhere; tells why not, and gives the exit status. */
int remote_open(struct lmodel_archive **archive, const char *name,
		const struct remote_options *options);

/* Tells, with -v, what it has cost; NULL is allowed. */
void remote_close(struct lmodel_archive *archive);

#endif
