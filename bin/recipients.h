/* Whom a command is to let in. */
#ifndef RECIPIENTS_H
#define RECIPIENTS_H

#include <stdbool.h>
#include <stddef.h>

#include <lmodel.h>

struct cmd;

struct grantees {
	struct lmodel_grantee *list; /* recipients are its own, the rest is the caller's */
	size_t count;
};

/* Whether the text is, or holds, what nobody should pass on. It is never repeated in a message. */
bool recipient_is_secret(const char *text);

/* Adds what `like` says, for the recipient `text` that --`option` gives, or for each line of the
 * file at `path` ("-": standard input), '#' beginning a comment. Give the exit status. */
int grantees_add(const struct cmd *cmd, struct grantees *grantees, const char *option,
		 const char *text, const struct lmodel_grantee *like);
int grantees_add_file(struct grantees *grantees, const char *path,
		      const struct lmodel_grantee *like);

/* By passphrase: `like` has it. */
void grantees_add_passphrase(struct grantees *grantees, const struct lmodel_grantee *like);

/* Says so when an SSH key is among them: its slot is not anonymous. */
void grantees_notice_ssh(const struct grantees *grantees);

void grantees_free(struct grantees *grantees);

#endif
