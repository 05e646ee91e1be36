#include "recipients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

/* Of a recipients file. A line is what age takes, and longer than any known recipient. */
#define LINE_LIMIT 8192
#define LINES_LIMIT 65536

bool recipient_is_secret(const char *text)
{
	return strcasestr(text, "AGE-SECRET-KEY-") != NULL ||
	       strstr(text, "PRIVATE KEY-----") != NULL;
}

static void add(struct grantees *grantees, char *recipient, const struct lmodel_grantee *like)
{
	struct lmodel_grantee *list =
		realloc(grantees->list, (grantees->count + 1) * sizeof(*list));

	if (list == NULL)
		message_no_memory();
	grantees->list = list;
	list[grantees->count] = *like;
	list[grantees->count++].recipient = recipient;
}

int grantees_add(const struct cmd *cmd, struct grantees *grantees, const char *option,
		 const char *text, const struct lmodel_grantee *like)
{
	if (recipient_is_secret(text))
		return message_usage(cmd,
				     "option '--%s': that is a secret key, not a recipient; "
				     "'lmodel keygen -y FILE' tells the recipient",
				     option);
	if (text[strspn(text, " \t")] == '\0')
		return message_usage(cmd, "option '--%s': %s has no recipient", option,
				     TEXT_QUOTE(text));
	add(grantees, text_format("%s", text), like);
	return LMODEL_OK;
}

void grantees_add_passphrase(struct grantees *grantees, const struct lmodel_grantee *like)
{
	add(grantees, NULL, like);
}

/* ---- files ---- */

static int add_line(struct grantees *grantees, const char *name, size_t number, char *line,
		    const struct lmodel_grantee *like)
{
	size_t len = strlen(line);

	if (len + 1 == LINE_LIMIT && line[len - 1] != '\n') {
		message_error("%s: line %zu is longer than %d bytes", name, number, LINE_LIMIT - 2);
		return LMODEL_ELIMIT;
	}
	if (number > LINES_LIMIT) {
		message_error("%s: more than %d lines", name, LINES_LIMIT);
		return LMODEL_ELIMIT;
	}
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		line[--len] = '\0';
	line += strspn(line, " \t");
	if (line[0] == '\0' || line[0] == '#')
		return LMODEL_OK;
	if (recipient_is_secret(line)) {
		message_error("%s: line %zu is a secret key, not a recipient; "
			      "'lmodel keygen -y FILE' tells the recipient",
			      name, number);
		return LMODEL_EUSAGE;
	}
	add(grantees, text_format("%s", line), like);
	return LMODEL_OK;
}

static int add_lines(struct grantees *grantees, FILE *in, const char *name,
		     const struct lmodel_grantee *like)
{
	size_t before = grantees->count, number = 0;
	char line[LINE_LIMIT];
	int r = LMODEL_OK;

	while (r == LMODEL_OK && fgets(line, sizeof(line), in) != NULL)
		r = add_line(grantees, name, ++number, line, like);
	explicit_bzero(line, sizeof(line));
	if (r == LMODEL_OK && ferror(in)) {
		message_error("%s: %s", name, strerror(errno));
		r = LMODEL_EFAILED;
	}
	if (r == LMODEL_OK && grantees->count == before) {
		message_error("%s: no recipient in it", name);
		r = LMODEL_EUSAGE;
	}
	return r;
}

int grantees_add_file(struct grantees *grantees, const char *path,
		      const struct lmodel_grantee *like)
{
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *in = is_stdin ? stdin : fopen(path, "re");
	char *name = text_archive(path);
	int r = LMODEL_EFAILED;

	if (in == NULL)
		message_error("%s: %s", name, strerror(errno));
	else
		r = add_lines(grantees, in, name, like);
	if (in != NULL && !is_stdin)
		fclose(in);
	free(name);
	return r;
}

/* ---- */

void grantees_notice_ssh(const struct grantees *grantees)
{
	for (size_t i = 0; i < grantees->count; i++) {
		const char *recipient = grantees->list[i].recipient;

		if (recipient == NULL || strncmp(recipient, "ssh-", 4) != 0)
			continue;
		message_notice("a slot for an ssh-ed25519 key names 4 bytes of a hash of that "
			       "key: it can be matched to a published key");
		return;
	}
}

void grantees_free(struct grantees *grantees)
{
	for (size_t i = 0; i < grantees->count; i++) {
		char *recipient = (char *)(uintptr_t)grantees->list[i].recipient;

		free(recipient);
	}
	free(grantees->list);
	*grantees = (struct grantees){ .count = 0 };
}
