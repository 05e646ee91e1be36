/* OpenSSH's keys: the line of a public one, the file of a private one. Ed25519 only. */
#ifndef LM_AGE_SSH_KEY_H
#define LM_AGE_SSH_KEY_H

#include "base/base.h"

#define LM_SSH_WIRE 51u /* string "ssh-ed25519", string of the key's 32 bytes */
#define LM_SSH_TEXT 81u /* "ssh-ed25519 " and the wire form in base 64, with a NUL */

void lm_ssh_wire(uint8_t wire[LM_SSH_WIRE], const uint8_t public_key[32]);
void lm_ssh_public_text(char text[LM_SSH_TEXT], const uint8_t public_key[32]);

/* "ssh-ed25519 AAAA... [comment]". EUSAGE. */
int lm_ssh_public_parse(const char *text, size_t len, uint8_t public_key[32],
			struct lmodel_error *error) LM_MUST_CHECK;

/* Whether an OpenSSH private key file begins here. */
bool lm_ssh_private_begins(const uint8_t *bytes, size_t len);

/* `seed` lies in secret memory. ECORRUPT; EUNSUPPORTED: encrypted, or of another kind; ELIMIT. The
 * message holds no byte of the file. */
int lm_ssh_private_parse(const uint8_t *bytes, size_t len, const char *label, uint8_t seed[32],
			 uint8_t public_key[32], struct lmodel_error *error) LM_MUST_CHECK;

#endif
