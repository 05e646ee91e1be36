/* Who may sign: a file of public keys, line by line. It is OpenSSH's allowed_signers file (see
 * ssh-keygen(1), ALLOWED SIGNERS), read by OpenSSH's rules, and takes two more kinds of line:
 *
 *     # comment
 *     alice@example.com,bob@example.com ssh-ed25519 AAAA... comment
 *     alice@example.com namespaces="lmodel",valid-before="20300101Z" ssh-ed25519 AAAA...
 *     ssh-ed25519 AAAA... comment                  a public key file as it is
 *     untrusted comment: minisign public key 95CB5EE9ECABFBE7
 *     RWTn+6vs6V7LlS4AvK0U...                      the two lines of minisign.pub, or the second
 *
 * `ssh-keygen -Y verify` passes over these two kinds. minisign keys have no principals, namespaces
 * or validity.
 *
 * Times are YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z or UTC behind for UTC, else in the
 * system's time zone without daylight saving, as ssh-keygen takes them. Both ends belong to the
 * validity. A date that is not in the calendar is refused.
 *
 * What cannot be used, keys of other kinds and cert-authority lines, is left out with a notice.
 * What cannot be understood is a failure: a lost restriction would be a hole. */
#ifndef LM_SIGNERS_H
#define LM_SIGNERS_H

#include "crypto/sig/minisign.h"
#include "crypto/sig/ssh_public.h"

#include <lmodel/run.h>

#define LM_SIGNERS_FILE (1u << 20)  /* bytes of a file */
#define LM_SIGNERS_LINE (16u << 10) /* bytes of a line */
#define LM_SIGNERS_LIMIT 4096u      /* usable keys in it */

enum lm_signer_kind { LM_SIGNER_SSH, LM_SIGNER_MINISIGN };

struct lm_signer {
	enum lm_signer_kind kind;
	struct lm_ssh_public ssh;
	struct lm_minisign_key minisign;

	/* Principals; of a key file the comment, else the fingerprint or id. From the file, never
	 * empty: escape it for messages. */
	char *name;

	char *namespaces;      /* a pattern list; NULL: all */
	int64_t after, before; /* seconds since 1970; 0: no such end */
	size_t line;
};

struct lm_signers {
	struct lm_signer *list;
	size_t count, capacity;
	char *label; /* of the file, for messages */
};

/* `label` names the file in messages, escaped; `run` takes the notices, and may be NULL. ECORRUPT;
 * EUNSUPPORTED: an unknown option, or no line that can be used; ELIMIT. */
int lm_signers_parse(struct lm_signers **signers, const uint8_t *bytes, size_t len,
		     const char *label, const struct lmodel_run *run, struct lmodel_error *error)
	LM_MUST_CHECK;
void lm_signers_free(struct lm_signers *signers); /* NULL is allowed */

/* The line by which this key may sign in namespace `ns` at the time `when` (seconds since 1970).
 * ECORRUPT says that the key is unknown here, or why its line does not allow it. */
int lm_signers_find_ssh(const struct lm_signers *signers, const struct lm_ssh_public *key,
			const char *ns, int64_t when, const struct lm_signer **found,
			struct lmodel_error *error) LM_MUST_CHECK;

/* The key of that id, with which the signature is still to be checked: no two have the same. */
int lm_signers_find_minisign(const struct lm_signers *signers, const uint8_t id[8],
			     const struct lm_signer **found, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
