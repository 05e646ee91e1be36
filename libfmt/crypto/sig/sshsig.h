/* OpenSSH's detached signatures (PROTOCOL.sshsig): what `ssh-keygen -Y sign` makes and
 * `ssh-keygen -Y verify` checks.
 *
 *     -----BEGIN SSH SIGNATURE-----
 *     base 64 of: "SSHSIG" | version 1 | public key | namespace | reserved | hash | signature
 *     -----END SSH SIGNATURE-----
 *
 * The signature covers namespace, name of the hash and hash of the message, so that what was signed
 * for one purpose ("file", "git") is worth nothing for another. Ed25519 only: other keys and
 * certificates are EUNSUPPORTED. So is a reserved field that is not empty, because OpenSSH does not
 * cover it by the signature.
 *
 * A valid signature says that the holder of `key` signed the message; whose key that is, is for
 * signers.h. */
#ifndef LM_SSHSIG_H
#define LM_SSHSIG_H

#include "crypto/curve.h"
#include "crypto/sig/ssh_public.h"

#define LM_SSHSIG_LIMIT (16u << 10) /* bytes of a file; Ed25519 needs 300 */
#define LM_SSHSIG_NAMESPACE 255u

struct lm_sshsig {
	struct lm_ssh_public key;
	char ns[LM_SSHSIG_NAMESPACE + 1];
	bool sha256; /* the message's hash: else SHA-512 */
	uint8_t signature[LM_SIGNATURE];

	/* Of a FIDO key. Bit 0 of `flags`: someone touched the token, bit 2: and gave its PIN. The
	 * signature covers both; as in ssh-keygen, none is asked for. */
	uint8_t flags;
	uint32_t counter;
};

/* `*armored` is fresh text, byte for byte what ssh-keygen -Y sign makes with that key. EUSAGE when
 * the namespace is empty or too long. */
int lm_sshsig_sign(char **armored, const uint8_t seed[32], const char *ns, const void *message,
		   size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* Armored, or the bytes within. Armor may break its lines anywhere and end them with CR LF; behind
 * it there is white space at most. ECORRUPT, EUNSUPPORTED, ELIMIT. */
int lm_sshsig_parse(struct lm_sshsig *sig, const uint8_t *bytes, size_t len,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Whether it is a signature of the message by `sig->key`, made for this namespace. */
bool lm_sshsig_verify(const struct lm_sshsig *sig, const char *ns, const void *message, size_t len)
	LM_MUST_CHECK;

/* `*armored` is fresh text: the same signature as ssh-keygen would write it. */
int lm_sshsig_text(char **armored, const struct lm_sshsig *sig, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
