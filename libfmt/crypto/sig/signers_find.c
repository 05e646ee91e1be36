/* Looking signers up. */
#include <stdio.h>
#include <time.h>

#include "crypto/sig/signer_options.h"
#include "crypto/sig/signers.h"

/* Whether the line allows it; else `why` says what is against it. */
static bool allows(const struct lm_signer *signer, const char *ns, int64_t when, char why[160])
{
	int64_t limit = 0;
	const char *relation = "";
	struct tm tm;
	time_t t;
	char text[32];

	if (signer->namespaces != NULL && !lm_pattern_list_matches(signer->namespaces, ns)) {
		snprintf(why, 160, "not for signatures of namespace %s", LM_QUOTE(ns));
		return false;
	}
	if (signer->after != 0 && when < signer->after) {
		limit = signer->after;
		relation = "not valid before";
	} else if (signer->before != 0 && when > signer->before) {
		limit = signer->before;
		relation = "not valid after";
	} else {
		return true;
	}
	t = (time_t)limit;
	if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof(text), "%FT%TZ", &tm) == 0)
		text[0] = '\0';
	snprintf(why, 160, "%s %s", relation, text);
	return false;
}

int lm_signers_find_ssh(const struct lm_signers *signers, const struct lm_ssh_public *key,
			const char *ns, int64_t when, const struct lm_signer **found,
			struct lmodel_error *error)
{
	char fingerprint[LM_SSH_FINGERPRINT], why[160], first[160] = "";
	size_t line = 0;

	for (size_t i = 0; i < signers->count; i++) {
		const struct lm_signer *signer = &signers->list[i];

		if (signer->kind != LM_SIGNER_SSH || !lm_ssh_public_equal(&signer->ssh, key))
			continue;
		if (allows(signer, ns, when, why)) {
			*found = signer;
			return LMODEL_OK;
		}
		if (line == 0) {
			line = signer->line;
			memcpy(first, why, sizeof(first));
		}
	}
	lm_ssh_public_fingerprint(fingerprint, key);
	if (line == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "signed by an unknown key, %s: not in %s",
			       fingerprint, signers->label);
	return lm_fail(error, LMODEL_ECORRUPT, "signed by the key %s, which in %s, line %zu, is %s",
		       fingerprint, signers->label, line, first);
}

int lm_signers_find_minisign(const struct lm_signers *signers, const uint8_t id[8],
			     const struct lm_signer **found, struct lmodel_error *error)
{
	char text[LM_MINISIGN_ID];

	for (size_t i = 0; i < signers->count; i++) {
		const struct lm_signer *signer = &signers->list[i];

		if (signer->kind == LM_SIGNER_MINISIGN && memcmp(signer->minisign.id, id, 8) == 0) {
			*found = signer;
			return LMODEL_OK;
		}
	}
	lm_minisign_id(text, id);
	return lm_fail(error, LMODEL_ECORRUPT, "signed by an unknown minisign key, %s: not in %s",
		       text, signers->label);
}
