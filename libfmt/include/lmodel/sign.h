/* Publishers' signatures: who made an archive, for readers without any of its keys.
 *
 * What is signed is the statement (lmodel_info.statement), a few lines of text that stand for all
 * content: `ssh-keygen -Y verify -n lmodel` checks such a signature without this library. Granting
 * and revoking leave signatures valid; lmodel_rekey() makes new ones, or none. */
#ifndef LMODEL_SIGN_H
#define LMODEL_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include <lmodel/archive.h>
#include <lmodel/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The namespace of SSH signatures over statements. */
#define LMODEL_SIGNATURE_NAMESPACE "lmodel"

struct lmodel_signature {
	const char *kind;        /* "sshsig", "minisign" */
	const char *signer;      /* "SHA256:..." of an SSH key, key id of a minisign key */
	bool of_this;            /* it verifies for this statement, under the key that it names;
	                            minisign: not known (false) */
};
size_t lmodel_signature_count(const struct lmodel_archive *archive);
const struct lmodel_signature *lmodel_signature_at(const struct lmodel_archive *archive,
						   size_t index);

/* Signs the statement with the OpenSSH Ed25519 private key in `key_file` (not encrypted) and puts
 * the signature into the manifest, in place of an earlier one by the same key. One commit, under
 * the writer lock.
 * Errors: EUNSUPPORTED (another kind of key, or an encrypted one: use ssh-keygen -Y sign and
 * lmodel_sign_import()), ECORRUPT, ELIMIT (no room: repack), EFAILED. */
int lmodel_sign(const char *archive, const char *key_file, struct lmodel_error *error);

/* Takes in a signature of the statement that was made elsewhere: an SSH signature (verified under
 * the key that it names) or a minisign one (`signers` has to hold its key; otherwise may be NULL).
 * ECORRUPT when it is not of this archive's statement. */
int lmodel_sign_import(const char *archive, const char *signature_file, const char *signers,
		       struct lmodel_error *error);

/* Whether somebody in the file `signers` has signed what this archive is now: an OpenSSH
 * allowed_signers file, or minisign public keys. The first who has goes to `*principal` (fresh
 * memory; free() it), unless it is NULL. ECORRUPT, with three messages: no signature; none by these
 * signers; a signature by one of them that is of another statement. */
int lmodel_check_signers(const struct lmodel_archive *archive, const char *signers,
			 char **principal, struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
