/* Signatures and lists of signers. The first byte says what the rest is: an SSH signature ('s'), a
 * minisign signature ('m'), a list ('l'). */
#include <stdio.h>

#include "crypto/sig/minisign.h"
#include "crypto/sig/signers.h"
#include "crypto/sig/sshsig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char message[] = "a statement\n";

static void check(int r, const struct lmodel_error *error)
{
	if (r != (int)error->code || (r != LMODEL_OK) != (error->message[0] != '\0') ||
	    strchr(error->message, '\n') != NULL)
		abort();
}

/* What can be read is written as ssh-keygen would, and is read again as it was. */
static void fuzz_sshsig(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_sshsig sig, again;
	char *text = NULL, fingerprint[LM_SSH_FINGERPRINT];
	int r = lm_sshsig_parse(&sig, data, size, &error);
	bool valid;

	check(r, &error);
	if (r != LMODEL_OK)
		return;
	lm_ssh_public_fingerprint(fingerprint, &sig.key);
	valid = lm_sshsig_verify(&sig, "lmodel", message, sizeof(message) - 1);
	if (sig.ns[0] == '\0' || strlen(fingerprint) != LM_SSH_FINGERPRINT - 1 ||
	    (valid && (strcmp(sig.ns, "lmodel") != 0 ||
		       lm_sshsig_verify(&sig, "lmodel", message, sizeof(message)))))
		abort();
	if (lm_sshsig_text(&text, &sig, &error) ||
	    lm_sshsig_parse(&again, (uint8_t *)text, strlen(text), &error) ||
	    memcmp(&sig, &again, sizeof(sig)) != 0)
		abort();
	free(text);
}

static void fuzz_minisign(const uint8_t *data, size_t size)
{
	static const char key_text[] = "RWR1NWZA5k3wr0Jo5zlR+tgOvHMWjtYhoIzAFyChkI8Mz3QrnPAw68IX";
	struct lmodel_error error = LMODEL_ERROR_INIT;
	static struct lm_minisign sig;
	struct lm_minisign_key key;
	int r = lm_minisign_parse(&sig, data, size, &error);

	check(r, &error);
	if (lm_minisign_key_parse(&key, key_text, sizeof(key_text) - 1, NULL))
		abort();
	if (r == LMODEL_OK && lm_minisign_verify(&sig, &key, message, sizeof(message) - 1) &&
	    (!lm_minisign_begins(data, size) ||
	     strcmp(sig.trusted_comment, "signed for a test") != 0))
		abort();
}

static void check_notice(void *context, const char *text)
{
	(void)context;
	if (text[0] == '\0' || strchr(text, '\n') != NULL)
		abort();
}

static void check_signer(const struct lm_signers *signers, const struct lm_signer *signer)
{
	const int64_t when = LM_MAX(signer->after, 1);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const struct lm_signer *found = NULL;
	int r;

	if (signer->name[0] == '\0' || signer->line == 0)
		abort();
	if (signer->kind == LM_SIGNER_MINISIGN) {
		if (lm_signers_find_minisign(signers, signer->minisign.id, &found, &error) ||
		    found != signer)
			abort();
		return;
	}
	r = lm_signers_find_ssh(signers, &signer->ssh, "lmodel", when, &found, &error);
	check(r, &error);
	if (signer->namespaces == NULL && r != LMODEL_OK)
		abort();
	if (r == LMODEL_OK && (!lm_ssh_public_equal(&found->ssh, &signer->ssh) ||
			       (found->before != 0 && when > found->before) || when < found->after))
		abort();
}

static void fuzz_signers(const uint8_t *data, size_t size)
{
	const struct lmodel_run run = { .notice = check_notice };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_signers *signers = NULL;
	int r = lm_signers_parse(&signers, data, size, "input", &run, &error);

	check(r, &error);
	if ((r == LMODEL_OK) != (signers != NULL) || (signers != NULL && signers->count == 0))
		abort();
	for (size_t i = 0; signers != NULL && i < signers->count && i < 100; i++)
		check_signer(signers, &signers->list[i]);
	lm_signers_free(signers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 's')
		fuzz_sshsig(data + 1, size - 1);
	else if (data[0] == 'm')
		fuzz_minisign(data + 1, size - 1);
	else if (data[0] == 'l')
		fuzz_signers(data + 1, size - 1);
	return 0;
}
