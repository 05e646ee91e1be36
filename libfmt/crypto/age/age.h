/* The age file format, version 1 (c2sp.org/age), for small files in memory: key slots, grants,
 * identity files. */
#ifndef LM_AGE_H
#define LM_AGE_H

#include "base/base.h"

#define LM_AGE_FILE_LIMIT (UINT64_C(1) << 20) /* bytes of a file that is read */
#define LM_AGE_SCRYPT_WRITE 18                /* work factor, log2 */
#define LM_AGE_SCRYPT_READ 20                 /* the largest accepted: 1 GiB of memory */

/* To whom. One handler a kind, in stanza.c's table: "X25519", "ssh-ed25519", "scrypt". */
struct lm_age_recipient;

/* "age1..." or "ssh-ed25519 AAAA... [comment]". EUSAGE for anything else, with a message that
 * names what it is where that is known (a secret key, an ssh-rsa key, an age1pq recipient:
 * EUNSUPPORTED). The text is never a secret except by mistake: messages do not repeat it when
 * it looks like one. */
int lm_age_recipient_parse(struct lm_age_recipient **out, const char *text,
			   struct lmodel_error *error) LM_MUST_CHECK;
int lm_age_recipient_passphrase(struct lm_age_recipient **out, const char *passphrase, size_t len,
				unsigned log2_n, struct lmodel_error *error) LM_MUST_CHECK;
const char *lm_age_recipient_kind(const struct lm_age_recipient *recipient);
/* Canonical text ("age1...", "ssh-ed25519 AAAA..." without the comment), NULL for a passphrase;
 * lives as long as the recipient. */
const char *lm_age_recipient_text(const struct lm_age_recipient *recipient);
void lm_age_recipient_free(struct lm_age_recipient *recipient);

/* Who opens. Secret memory. */
struct lm_age_identity;

/* X25519. */
int lm_age_identity_generate(struct lm_age_identity **out, struct lmodel_error *error)
	LM_MUST_CHECK;
/* From 32 given bytes instead of random ones. */
int lm_age_identity_from_scalar(struct lm_age_identity **out, const uint8_t scalar[32],
				struct lmodel_error *error) LM_MUST_CHECK;
int lm_age_identity_passphrase(struct lm_age_identity **out, const char *passphrase, size_t len,
			       struct lmodel_error *error) LM_MUST_CHECK;
const char *lm_age_identity_kind(const struct lm_age_identity *identity);
/* The recipient that this identity opens, as lm_age_recipient_text(); NULL for a passphrase. */
const char *lm_age_identity_recipient(const struct lm_age_identity *identity);
/* "AGE-SECRET-KEY-1..." in secret memory (lm_secret_free()); NULL (EUSAGE) for other kinds than
 * X25519. */
char *lm_age_identity_text(const struct lm_age_identity *identity, struct lmodel_error *error);
void lm_age_identity_free(struct lm_age_identity *identity); /* wipes; NULL is allowed */

/* Asks for the passphrase that opens `what` (printable). On success `*out` is in secret memory,
 * NUL-terminated. */
typedef int lm_passphrase_fn(void *context, const char *what, char **out,
			     struct lmodel_error *error);

/* All identities in the bytes of a key file, appended to `*list` (count in `*count`; grown with
 * realloc(), elements owned by the caller; both as before after a failure):
 *   - age identity file: '#' comments, blank lines, AGE-SECRET-KEY-1...
 *   - the same encrypted with a passphrase (age, binary or armored): `ask` is called; NULL: ENOKEY
 *   - an OpenSSH private key, Ed25519, not encrypted
 * `label` is for messages, which never hold a byte of the file. Errors: ECORRUPT (malformed),
 * EUNSUPPORTED (an encrypted SSH key: says to decrypt a copy with ssh-keygen -p; RSA, ECDSA,
 * AGE-PLUGIN-, AGE-SECRET-KEY-PQ-; encrypted to a key), ENOKEY (wrong passphrase), ELIMIT (longer
 * than LM_AGE_FILE_LIMIT, a work factor above LM_AGE_SCRYPT_READ), EFAILED. */
int lm_age_identities_parse(struct lm_age_identity ***list, size_t *count, const uint8_t *bytes,
			    size_t len, const char *label, lm_passphrase_fn *ask, void *context,
			    struct lmodel_error *error) LM_MUST_CHECK;

/* A whole file for all these recipients (a passphrase must be alone: EUSAGE). `*out` is fresh
 * memory; with `armor` it is text, NUL-terminated behind its length. `entropy` NULL: fresh random
 * numbers; otherwise 32 bytes from which, with the recipients' texts and the plaintext, all of them
 * are derived (for reproducible archives). ELIMIT: would be longer than LM_AGE_FILE_LIMIT. */
int lm_age_encrypt(const struct lm_age_recipient *const *recipients, size_t count,
		   const void *plain, size_t len, bool armor, const uint8_t *entropy,
		   uint8_t **out, size_t *out_len, struct lmodel_error *error) LM_MUST_CHECK;

/* Opens a file, binary or armored, with the first identity that fits. `*out` is secret memory, with
 * a NUL behind its length. ENOKEY: none fits. ECORRUPT: not a valid age file, or its MAC or payload
 * is wrong. EUNSUPPORTED: another version. ELIMIT: longer than LM_AGE_FILE_LIMIT, more than 1024
 * stanzas, or a work factor above LM_AGE_SCRYPT_READ. A file of which no stanza is of a known kind
 * is ENOKEY. */
int lm_age_decrypt(const struct lm_age_identity *const *identities, size_t count,
		   const uint8_t *file, size_t len, uint8_t **out, size_t *out_len,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Kinds of the file's stanzas, joined by "," ("X25519"), into `kinds` (cut when longer). Nothing is
 * decrypted. ECORRUPT, EUNSUPPORTED, ELIMIT as above. */
int lm_age_inspect(const uint8_t *file, size_t len, char *kinds, size_t size,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* The work factor, log2, of a file under a passphrase; false for any other file. */
bool lm_age_work_factor(const uint8_t *file, size_t len, unsigned *log2_n) LM_MUST_CHECK;

#endif
