/* The options of a line of an allowed_signers file. */
#ifndef LM_SIG_SIGNER_OPTIONS_H
#define LM_SIG_SIGNER_OPTIONS_H

#include "base/base.h"

struct lm_signer_options {
	bool cert_authority;
	char *namespaces;      /* fresh memory; NULL: none given */
	int64_t after, before; /* 0: none given */
};

/* `text` is the whole field. A failure's message begins with `where` ("signers: line 3"); nothing
 * is to be freed then. ECORRUPT, EUNSUPPORTED. */
int lm_signer_options_parse(struct lm_signer_options *options, const char *text, size_t len,
			    const char *where, struct lmodel_error *error) LM_MUST_CHECK;

/* A timestamp of ssh-keygen's; false for any other text, and for 1970 and before. */
bool lm_signer_time(const char *text, int64_t *seconds) LM_MUST_CHECK;

/* OpenSSH's pattern lists (PATTERNS in ssh_config(5)): patterns with * and ?, separated by commas;
 * one that begins with '!' and matches makes the whole list not match. */
bool lm_pattern_list_matches(const char *list, const char *text);

#endif
