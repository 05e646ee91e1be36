#include "signers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

/* ---- who has to have signed ---- */

int signers_check(const struct cmd *cmd, struct signer_options *signers)
{
	const char *path = getenv("LMODEL_SIGNERS");

	if (signers->file == NULL && path != NULL && path[0] != '\0')
		signers->file = path;
	/* A script whose variable came out empty must not go on without. */
	if (signers->require && signers->file == NULL)
		return message_usage(cmd, "--require-signature needs --signers FILE");
	return LMODEL_OK;
}

int signers_verify(const struct lmodel_archive *archive, const char *path,
		   const struct signer_options *signers, char **principal,
		   struct lmodel_error *error)
{
	char *raw = NULL, *name;
	int r;

	*principal = NULL;
	if (signers->file == NULL)
		return LMODEL_OK;
	r = lmodel_check_signers(archive, signers->file, &raw, error);
	if (r != LMODEL_OK)
		return r;
	*principal = text_escape(raw);
	free(raw);
	name = text_archive(path);
	message_detail("%s: signed by %s", name, *principal);
	free(name);
	return LMODEL_OK;
}

int signers_demand(const struct lmodel_archive *archive, const char *path,
		   const struct signer_options *signers)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *principal;
	int r = signers_verify(archive, path, signers, &principal, &error);

	free(principal);
	return r != LMODEL_OK ? message_fail(&error) : LMODEL_OK;
}

/* ---- who is to sign ---- */

static void look(void *context, const char *recipient)
{
	if (strncmp(recipient, "ssh-ed25519 ", strlen("ssh-ed25519 ")) == 0)
		*(bool *)context = true;
}

int signers_check_key(const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;
	bool signs = false;
	struct stat st;
	int r;

	/* It is read twice, here and by who uses it. */
	if (strcmp(path, "-") == 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode))) {
		message_error("%s: the key to sign with has to be a file", TEXT_QUOTE(path));
		return LMODEL_EUSAGE;
	}
	if (lmodel_keyring_new(&ring, &error) != LMODEL_OK)
		return message_fail(&error);
	r = lmodel_keyring_add_file(ring, path, &error);
	if (r == LMODEL_OK)
		r = lmodel_keyring_recipients(ring, look, &signs, &error);
	lmodel_keyring_free(ring);
	if (r != LMODEL_OK)
		return message_fail(&error);
	if (signs)
		return LMODEL_OK;
	message_error("%s: is no Ed25519 SSH key, which signing needs", TEXT_QUOTE(path));
	return LMODEL_EUNSUPPORTED;
}
