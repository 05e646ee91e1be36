#include "remote.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

/* The addresses of what is called by another name: never many. */
static struct {
	const char *name, *address;
} *known;
static size_t known_count;

/* Scheme, host and path; not what stands before an "@" of the host either. */
static char *shorten(const char *text)
{
	const char *host = strstr(text, "://") + 3;
	size_t host_len = strcspn(host, "/?#"), len = host_len + strcspn(host + host_len, "?#");
	const char *at = memrchr(host, '@', host_len);
	const char *from = at != NULL ? at + 1 : host;

	return text_format("%.*s%.*s", (int)(host - text), text, (int)(host + len - from), from);
}

/* Never freed: it is in use to the end. */
static char *remember(const char *text)
{
	char *name = shorten(text);

	known = realloc(known, (known_count + 1) * sizeof(*known));
	if (known == NULL)
		message_no_memory();
	known[known_count].name = name;
	known[known_count++].address = text;
	return name;
}

const char *remote_name(const char *text)
{
	return lmodel_is_remote(text) ? remember(text) : text;
}

int remote_operands(const struct cmd *cmd, int count, char **operands)
{
	if (cmd->remote == REMOTE_TALKS)
		return LMODEL_OK;
	if (cmd->remote == REMOTE_READS && count > 1)
		count = 1; /* behind the archive stand names and patterns */
	for (int i = 0; i < count; i++) {
		if (!lmodel_is_remote(operands[i]))
			continue;
		operands[i] = remember(operands[i]);
		if (cmd->remote == REMOTE_NEVER)
			return message_usage(cmd, "%s is elsewhere: pull or download it first",
					     TEXT_QUOTE(operands[i]));
	}
	return LMODEL_OK;
}

/* After a name that is no file: it may be what push and pull take, or another kind of address. */
static void hint(const char *name)
{
	const char *slash = strchr(name, '/'), *colon = strchr(name, ':');

	if (access(name, F_OK) == 0 || slash == NULL || colon == NULL)
		return;
	if (colon + 1 == slash)
		message_notice("addresses begin with https:// or oci://");
	else if (name[0] != '/' && name[0] != '.')
		message_notice("an archive in a registry is oci://HOST/NAME:TAG");
}

int remote_open(struct lmodel_archive **archive, const char *name,
		const struct remote_options *options)
{
	struct lmodel_remote_options o = LMODEL_REMOTE_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const char *address = NULL;
	int r;

	for (size_t i = 0; i < known_count; i++)
		if (known[i].name == name)
			address = known[i].address;
	o.plain_http = options->plain_http;
	o.no_cache = options->no_cache;
	r = address != NULL ? lmodel_open_remote(archive, address, &o, &error) :
			      lmodel_open(archive, name, &error);
	if (r == LMODEL_OK)
		return r;
	r = message_fail(&error);
	if (address == NULL)
		hint(name);
	return r;
}

void remote_close(struct lmodel_archive *archive)
{
	struct lmodel_remote_usage usage;

	if (archive != NULL) {
		lmodel_remote_usage(archive, &usage);
		if (usage.requests > 0)
			message_detail("fetched %ju byte%s in %ju request%s, %ju from the cache",
				       (uintmax_t)usage.fetched, text_plural(usage.fetched),
				       (uintmax_t)usage.requests, text_plural(usage.requests),
				       (uintmax_t)usage.cached);
	}
	lmodel_close(archive);
}
