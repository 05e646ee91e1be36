/* minisign's public keys and signatures (jedisct1.github.io/minisign): reading and checking.
 *
 *     untrusted comment: anything, covered by nothing
 *     base 64 of: algorithm (2) | key id (8) | Ed25519 signature (64)
 *     trusted comment: covered by the next line
 *     base 64 of: Ed25519 signature of the first signature and the trusted comment
 *
 * Algorithm "ED" signs the BLAKE2b-512 hash of the message, "Ed" (minisign -S -l, and before 2018)
 * the message itself. There are no namespaces: what is signed must say itself what it is. */
#ifndef LM_MINISIGN_H
#define LM_MINISIGN_H

#include "crypto/curve.h"

#define LM_MINISIGN_LIMIT (16u << 10)  /* bytes of a file */
#define LM_MINISIGN_COMMENT (8u << 10) /* bytes of a trusted comment, as in minisign */
#define LM_MINISIGN_ID 17u             /* 16 digits and a NUL */
#define LM_MINISIGN_KEY_TEXT 56u       /* characters of a public key */
#define LM_MINISIGN_LEGACY (32u << 10) /* bytes of a message under a legacy signature */

struct lm_minisign_key {
	uint8_t id[8];
	uint8_t key[32];
};

struct lm_minisign {
	bool prehashed;
	uint8_t id[8]; /* of the key: a hint that nothing covers */
	uint8_t signature[LM_SIGNATURE];
	uint8_t global[LM_SIGNATURE];
	char trusted_comment[LM_MINISIGN_COMMENT + 1]; /* from a file: escape it for messages */
};

/* The line "RW..." of a public key file. ECORRUPT, EUNSUPPORTED. */
int lm_minisign_key_parse(struct lm_minisign_key *key, const char *text, size_t len,
			  struct lmodel_error *error) LM_MUST_CHECK;

/* Whether a minisign (or signify) file begins here. */
bool lm_minisign_begins(const uint8_t *bytes, size_t len);

/* Lines end with LF or CR LF; behind the fourth there is white space at most. ECORRUPT,
 * EUNSUPPORTED, ELIMIT. */
int lm_minisign_parse(struct lm_minisign *sig, const uint8_t *bytes, size_t len,
		      struct lmodel_error *error) LM_MUST_CHECK;

/* Whether both signatures are by this key. Also false for a legacy signature of a message over
 * LM_MINISIGN_LEGACY, which libgcrypt could not take in one piece (from 64 KiB on it aborts). */
bool lm_minisign_verify(const struct lm_minisign *sig, const struct lm_minisign_key *key,
			const void *message, size_t len) LM_MUST_CHECK;

/* A key's id as minisign shows it. */
void lm_minisign_id(char text[LM_MINISIGN_ID], const uint8_t id[8]);

#endif
