/* The header of an age file: stanzas and MAC (c2sp.org/age, "Header"), syntax alone. */
#ifndef LM_AGE_HEADER_H
#define LM_AGE_HEADER_H

#include "base/base.h"

#define LM_AGE_FILE_KEY 16
#define LM_AGE_NONCE 16
#define LM_AGE_BODY 32        /* bytes of a body that are kept: that of every known kind */
#define LM_AGE_ARGUMENTS 4    /* arguments that are kept, the kind being the first */
#define LM_AGE_STANZA_LIMIT 1024
#define LM_AGE_STANZA_TEXT 160 /* no stanza that is written here is longer */

struct lm_age_argument {
	const uint8_t *at; /* within the file; printable ASCII without spaces */
	size_t len;
};

struct lm_age_stanza {
	struct lm_age_argument argument[LM_AGE_ARGUMENTS];
	size_t arguments; /* all of them, at least 1 */
	uint8_t body[LM_AGE_BODY];
	size_t body_len; /* all of it */
};

struct lm_age_header {
	struct lm_age_stanza *stanza;
	size_t count, capacity;
	size_t mac_at; /* the MAC is over so many bytes */
	uint8_t mac[32];
	const uint8_t *nonce; /* of the payload, within the file */
	size_t len;           /* of the header and the nonce */
};

/* Begins an age file of any version here? */
bool lm_age_header_begins(const uint8_t *file, size_t len);

/* Refers to `file` afterwards. ECORRUPT; EUNSUPPORTED: another version; ELIMIT: more than
 * LM_AGE_STANZA_LIMIT stanzas. In every case lm_age_header_free() follows. */
int lm_age_header_parse(struct lm_age_header *header, const uint8_t *file, size_t len,
			struct lmodel_error *error) LM_MUST_CHECK;
void lm_age_header_free(struct lm_age_header *header);

bool lm_age_argument_is(const struct lm_age_argument *argument, const char *text);

/* HMAC over the header as it stands in the file; ECORRUPT. */
int lm_age_header_check(const struct lm_age_header *header, const uint8_t *file,
			const uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error)
	LM_MUST_CHECK;

/* Writing: version line, stanzas (`arguments` begin with the kind), MAC line; each returns the end
 * of what it wrote. */
#define LM_AGE_HEADER_TEXT 80 /* what the first and the last need together */
char *lm_age_header_begin(char *to);
char *lm_age_header_stanza(char *to, const char *arguments, const uint8_t body[LM_AGE_BODY]);
int lm_age_header_end(char *header, char **to, const uint8_t file_key[LM_AGE_FILE_KEY],
		      struct lmodel_error *error) LM_MUST_CHECK;

#endif
