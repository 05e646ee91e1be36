#include "keys/slots.h"

#include "crypto/age/age.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

static void free_recipient(struct lm_age_recipient **r)
{
	lm_age_recipient_free(*r);
}
#define LM_RECIPIENT LM_CLEANUP(free_recipient)

int lm_grantee_check(const struct lmodel_grantee *who, struct lmodel_error *error)
{
	if (who->recipient == NULL && (who->passphrase == NULL || who->passphrase_len == 0))
		return lm_fail(error, LMODEL_EUSAGE, "neither a recipient nor a passphrase");
	if (who->role == LMODEL_HOLDER && who->tier == NULL)
		return lm_fail(error, LMODEL_EUSAGE, "a holder needs a tier");
	if (who->role != LMODEL_HOLDER && who->tier != NULL)
		return lm_fail(error, LMODEL_EUSAGE, "a tier is for holders");
	if ((unsigned)who->role > LMODEL_OWNER)
		return lm_fail(error, LMODEL_EUSAGE, "role %d is not defined", (int)who->role);
	return LMODEL_OK;
}

int lm_grant_for(struct lm_grant *grant, const struct lm_grant *owner,
		 const struct lmodel_grantee *who, struct lmodel_error *error)
{
	bool found = who->role != LMODEL_HOLDER;

	memset(grant, 0, sizeof(*grant));
	if ((unsigned)who->role > LMODEL_OWNER)
		return lm_fail(error, LMODEL_EUSAGE, "role %d is not defined", (int)who->role);
	memcpy(grant->archive, owner->archive, sizeof(grant->archive));
	memcpy(grant->owner, owner->owner, sizeof(grant->owner));
	grant->role = who->role;
	/* An owner's text is the longest that an archive has. */
	grant->text_len = lm_grant_text_len(owner);
	if (who->role == LMODEL_OWNER) {
		*grant = *owner;
		return LMODEL_OK;
	}
	if (who->role == LMODEL_HOLDER && who->tier == NULL)
		return lm_fail(error, LMODEL_EUSAGE, "a holder needs a tier");
	for (size_t i = 0; i < owner->tier_count; i++) {
		struct lm_grant_tier *t = &grant->tiers[grant->tier_count++];
		const struct lm_key_scope scope = {
			.archive = owner->archive, .tier = owner->tiers[i].name,
			.generation = owner->tiers[i].generation,
		};

		*t = owner->tiers[i];
		if (who->role == LMODEL_AUDITOR)
			lm_derive(t->key, owner->tiers[i].key, LM_LABEL_POSITIONS, &scope);
		if (who->role == LMODEL_HOLDER && strcmp(t->name, who->tier) == 0) {
			found = true;
			break;
		}
	}
	if (!found) {
		lm_wipe(grant, sizeof(*grant));
		return lm_fail(error, LMODEL_EUSAGE, "there is no tier %s", LM_QUOTE(who->tier));
	}
	return LMODEL_OK;
}

static int wrap(const struct lm_grant *grant, const struct lm_age_recipient *to, bool armor,
		const uint8_t *entropy, uint8_t **out, size_t *len, struct lmodel_error *error)
{
	LM_SECRET char *text = lm_grant_print(grant, error);

	if (text == NULL)
		return LMODEL_EFAILED;
	return lm_age_encrypt(&to, 1, text, strlen(text), armor, entropy, out, len, error);
}

/* Two age files: an identity made for this slot, under the passphrase, and the grant to it. So a
 * new grant can be wrapped later without the passphrase. */
static int make_passphrase(struct lm_slot_row *row, char **recipient, const struct lm_grant *grant,
			   const struct lmodel_grantee *who, const uint8_t *entropy,
			   struct lmodel_error *error)
{
	LM_RECIPIENT struct lm_age_recipient *lock = NULL;
	LM_RECIPIENT struct lm_age_recipient *to = NULL;
	LM_SECRET char *text = NULL;
	struct lm_age_identity *identity = NULL;
	uint8_t derived[2][32];
	int r;

	if (entropy != NULL) {
		lm_hkdf_sha256(derived[0], 64, entropy, 32, NULL, 0, "lmodel/1/passphrase slot",
			       24);
		r = lm_age_identity_from_scalar(&identity, derived[0], error);
	} else {
		r = lm_age_identity_generate(&identity, error);
	}
	if (r == LMODEL_OK)
		r = lm_age_recipient_parse(&to, lm_age_identity_recipient(identity), error);
	if (r == LMODEL_OK)
		r = lm_age_recipient_passphrase(&lock, who->passphrase, who->passphrase_len,
						LM_AGE_SCRYPT_WRITE, error);
	if (r == LMODEL_OK) {
		text = lm_age_identity_text(identity, error);
		r = text == NULL ? LMODEL_EFAILED : LMODEL_OK;
	}
	if (r == LMODEL_OK)
		r = lm_age_encrypt((const struct lm_age_recipient *const *)&lock, 1, text,
				   strlen(text), false, entropy != NULL ? derived[1] : NULL,
				   &row->identity, &row->identity_len, error);
	if (r == LMODEL_OK)
		r = wrap(grant, to, false, entropy, &row->grant, &row->grant_len, error);
	if (r == LMODEL_OK) {
		*recipient = lm_strdup(lm_age_recipient_text(to), error);
		r = *recipient == NULL ? LMODEL_EFAILED : LMODEL_OK;
	}
	lm_wipe(derived, sizeof(derived));
	lm_age_identity_free(identity);
	return r;
}

int lm_slot_make(struct lm_slot_row *row, char **recipient, const struct lm_grant *grant,
		 const struct lmodel_grantee *who, const uint8_t *entropy,
		 struct lmodel_error *error)
{
	LM_RECIPIENT struct lm_age_recipient *to = NULL;
	int r;

	*recipient = NULL;
	if (who->recipient == NULL) {
		row->kind = lm_strdup("passphrase", error);
		if (row->kind == NULL)
			return LMODEL_EFAILED;
		return make_passphrase(row, recipient, grant, who, entropy, error);
	}
	r = lm_age_recipient_parse(&to, who->recipient, error);
	if (r != LMODEL_OK)
		return r;
	row->kind = lm_strdup(lm_age_recipient_kind(to), error);
	*recipient = lm_strdup(lm_age_recipient_text(to), error);
	if (row->kind == NULL || *recipient == NULL)
		return LMODEL_EFAILED;
	return wrap(grant, to, false, entropy, &row->grant, &row->grant_len, error);
}

int lm_grant_wrap(const struct lm_grant *grant, const char *recipient, bool armor, uint8_t **file,
		  size_t *len, struct lmodel_error *error)
{
	LM_RECIPIENT struct lm_age_recipient *to = NULL;
	int r = lm_age_recipient_parse(&to, recipient, error);

	if (r == LMODEL_OK)
		r = wrap(grant, to, armor, NULL, file, len, error);
	return r;
}
