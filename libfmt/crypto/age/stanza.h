/* Kinds of recipients, one handler each, and what they have in common. */
#ifndef LM_AGE_STANZA_H
#define LM_AGE_STANZA_H

#include "crypto/age/age.h"
#include "crypto/age/draw.h"
#include "crypto/age/header.h"

#define LM_AGE_TEXT 96 /* a canonical recipient with its NUL */
#define LM_AGE_PASSPHRASE_LIMIT 1024

struct lm_age_recipient {
	const struct lm_age_kind *kind;
	char text[LM_AGE_TEXT]; /* empty for a passphrase */
	uint8_t point[32];      /* X25519 */
	uint8_t signing[32];    /* the Ed25519 key that the point comes from */
	unsigned log2_n;
	size_t passphrase_len;
	char passphrase[];
};

struct lm_age_identity {
	const struct lm_age_kind *kind;
	char text[LM_AGE_TEXT]; /* of the recipient */
	uint8_t scalar[32];
	uint8_t point[32];
	uint8_t signing[32];
	size_t passphrase_len;
	char passphrase[];
};

/* What a stanza becomes in the file. */
struct lm_age_wrapped {
	char arguments[LM_AGE_STANZA_TEXT - 60]; /* the kind and the rest of the line */
	uint8_t body[LM_AGE_BODY];
};

struct lm_age_kind {
	const char *name;             /* first argument of its stanzas */
	bool alone;                   /* no other stanza may stand beside it */
	const char *recipient_prefix; /* of a recipient's text; NULL: has none */
	const char *identity_prefix;  /* of an identity's line in a file; NULL: has none */

	/* Whether a stanza of this kind is well-formed: what does not depend on an identity.
	 * ECORRUPT, ELIMIT. */
	int (*check)(const struct lm_age_stanza *stanza, struct lmodel_error *error);
	int (*wrap)(const struct lm_age_recipient *recipient, const struct lm_age_draw *draw,
		    size_t index, const uint8_t file_key[LM_AGE_FILE_KEY],
		    struct lm_age_wrapped *wrapped, struct lmodel_error *error);
	/* ENOKEY, without a message: the stanza is for someone else. */
	int (*unwrap)(const struct lm_age_identity *identity, const struct lm_age_stanza *stanza,
		      uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error);
	/* The text has the prefix. EUSAGE, with a message that does not repeat it. */
	int (*parse_recipient)(struct lm_age_recipient *recipient, const char *text, size_t len,
			       struct lmodel_error *error);
	/* ECORRUPT without a message. */
	int (*parse_identity)(struct lm_age_identity *identity, const char *text, size_t len);
};

extern const struct lm_age_kind lm_age_x25519, lm_age_scrypt, lm_age_ssh_ed25519;

/* Ends with NULL. */
extern const struct lm_age_kind *const lm_age_kinds[];

/* Whether stanzas of known kinds are well-formed and may stand together. ECORRUPT, ELIMIT. */
int lm_age_stanzas_check(const struct lm_age_header *header, struct lmodel_error *error)
	LM_MUST_CHECK;

/* The file key by the first identity that fits a stanza. ENOKEY: none; ECORRUPT. */
int lm_age_stanzas_unwrap(const struct lm_age_header *header,
			  const struct lm_age_identity *const *identities, size_t count,
			  uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error)
	LM_MUST_CHECK;

/* ---- for the handlers ---- */

/* Zeroed, in secret memory; NULL with the error set. */
struct lm_age_recipient *lm_age_recipient_new(const struct lm_age_kind *kind, size_t passphrase_len,
					      struct lmodel_error *error);
struct lm_age_identity *lm_age_identity_new(const struct lm_age_kind *kind, size_t passphrase_len,
					    struct lmodel_error *error);

/* From the 32 bytes; recipient texts included. */
int lm_age_x25519_identity(struct lm_age_identity *identity, const uint8_t scalar[32],
			   struct lmodel_error *error) LM_MUST_CHECK;
int lm_age_ssh_ed25519_identity(struct lm_age_identity *identity, const uint8_t seed[32],
				const uint8_t public_key[32], struct lmodel_error *error)
	LM_MUST_CHECK;

/* The work factor, log2, that a well-formed scrypt stanza asks for. */
bool lm_age_scrypt_factor(const struct lm_age_stanza *stanza, unsigned *log2_n);

/* The key of a stanza that an X25519 exchange gave: HKDF with share and recipient as the salt. */
void lm_age_exchange_key(uint8_t key[32], const uint8_t shared[32], const uint8_t share[32],
			 const uint8_t point[32], const char *info);

/* A file key under a key that is used this once: the nonce is zero. */
int lm_age_seal_key(const uint8_t key[32], const uint8_t file_key[LM_AGE_FILE_KEY],
		    uint8_t body[LM_AGE_BODY], struct lmodel_error *error) LM_MUST_CHECK;
bool lm_age_open_key(const uint8_t key[32], const uint8_t body[LM_AGE_BODY],
		     uint8_t file_key[LM_AGE_FILE_KEY]) LM_MUST_CHECK;

#endif
