/* Passphrases: from the terminal, a file or a descriptor, never from the command line, which
 * everybody on the machine can read. */
#ifndef PASSPHRASE_H
#define PASSPHRASE_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

#define PASSPHRASE_MAX 1024

/* To be wiped as soon as it has been used. */
struct passphrase {
	char text[PASSPHRASE_MAX + 2]; /* room to see that one is too long */
	size_t len;                    /* not NUL-terminated */
};

/* Where it is to come from, when not from the terminal. */
struct passphrase_source {
	const char *file; /* "-": standard input */
	struct option_fd { bool given; int number; } fd;
};

option_set_fn option_fd; /* struct option_fd */

#define OPTIONS_PASSPHRASE_SOURCE(source) \
	{ "passphrase-file", 0, "FILE", "read the passphrase from FILE; \"-\": standard input", \
	  option_text, &(source).file }, \
	{ "passphrase-fd", 0, "N", "read the passphrase from file descriptor N", option_fd, \
	  &(source).fd }

bool passphrase_has_source(const struct passphrase_source *source);
bool passphrase_from_stdin(const struct passphrase_source *source);

/* Reads it from its source, else asks on the terminal, twice when it is a new one. `what` is
 * printable: "passphrase for tier 'gold'". Gives the exit status, having told what is wrong. */
int passphrase_get(const struct passphrase_source *source, const char *what, bool is_new,
		   struct passphrase *passphrase);

void passphrase_wipe(struct passphrase *passphrase);

#endif
