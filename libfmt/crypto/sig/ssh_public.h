/* The public keys of OpenSSH that signatures are checked with: Ed25519, in software (ssh-ed25519)
 * or in a FIDO token (sk-ssh-ed25519@openssh.com; OpenSSH's PROTOCOL.u2f). */
#ifndef LM_SIG_SSH_PUBLIC_H
#define LM_SIG_SSH_PUBLIC_H

#include "base/base.h"

#define LM_SSH_APPLICATION 255u /* bytes of a FIDO key's application, "ssh:" as a rule */
#define LM_SSH_PUBLIC_WIRE (3 * 4u + 26u + 32u + LM_SSH_APPLICATION)
#define LM_SSH_FINGERPRINT 51u /* "SHA256:", 43 characters and a NUL */

struct lm_ssh_public {
	uint8_t wire[LM_SSH_PUBLIC_WIRE]; /* as OpenSSH encodes it: it is the identity of the key */
	size_t wire_len;
	uint8_t key[32];
	bool fido;
	uint8_t application[32]; /* its SHA-256; of a FIDO key */
};

void lm_ssh_public_plain(struct lm_ssh_public *public, const uint8_t key[32]);

/* EUNSUPPORTED names the kind of another key; ECORRUPT. */
int lm_ssh_public_read(struct lm_ssh_public *public, const uint8_t *wire, size_t len,
		       struct lmodel_error *error) LM_MUST_CHECK;

bool lm_ssh_public_equal(const struct lm_ssh_public *a, const struct lm_ssh_public *b);

/* As ssh-keygen -l shows it. */
void lm_ssh_public_fingerprint(char text[LM_SSH_FINGERPRINT], const struct lm_ssh_public *public);

#endif
