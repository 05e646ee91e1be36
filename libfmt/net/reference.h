/* Names of what is elsewhere: an artifact in a registry, or an archive behind an address. */
#ifndef LM_REFERENCE_H
#define LM_REFERENCE_H

#include "base/base.h"

/* [oci://|https://|http://]HOST[:PORT]/NAME[:TAG][@DIGEST] (OCI distribution-spec 1.1, "Pulling
 * manifests"). Neither tag nor digest: tag "latest". */
struct lm_reference {
	char *host;      /* with port, in lower case; [::1]:5000 for IPv6 */
	char *name;      /* path components, at most 255 bytes with the host */
	char *tag;       /* NULL when there is a digest and no tag */
	char *digest;    /* "sha256:" and 64 hex digits, or NULL */
	bool secure;     /* false: http://, or this machine and no https:// */
	char *text;      /* printable, for messages: HOST/NAME:TAG */
};

/* EUSAGE with what is wrong. Hostile characters, userinfo (user:password@), empty parts, tags and
 * names out of the specification's grammar are refused. */
int lm_reference_parse(struct lm_reference *reference, const char *text,
		       struct lmodel_error *error) LM_MUST_CHECK;
void lm_reference_free(struct lm_reference *reference);

/* Whether it is the name of a repository, or a tag. */
bool lm_reference_is_name(const char *name);
bool lm_reference_is_tag(const char *tag);

/* Whether an ARCHIVE operand names something elsewhere: begins with oci://, https:// or http://. */
bool lm_reference_is_remote(const char *text);

#endif
