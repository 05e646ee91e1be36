#include "archive/detached.h"

#include "base/io.h"
#include "base/publish.h"
#include "crypto/secret.h"
#include "keys/slots.h"

/* The label, or the recipient; nothing that leaves the directory. */
static char *file_name(const struct lm_book_entry *e, const char *directory, size_t number,
		       struct lmodel_error *error)
{
	const char *base = e->label[0] != '\0' ? e->label : e->recipient;
	char safe[41];
	size_t n = 0;

	for (const char *c = base; *c != '\0' && n < sizeof(safe) - 1; c++)
		safe[n++] = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			    (*c >= '0' && *c <= '9') ? *c : '-';
	safe[n] = '\0';
	return lm_format(error, "%s/%s-%zu.lkey", directory, safe, number + 1);
}

static int write_file(const char *path, const uint8_t *text, size_t len, struct lmodel_error *error)
{
	struct lm_output out = LM_OUTPUT_INIT;
	char label[LM_QUOTE_SIZE];
	int r = lm_output_begin(&out, path, true, error);

	if (r == LMODEL_OK)
		r = lm_write_all(out.fd, lm_quote(label, path), text, len, error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}

int lm_detached_write(const struct lm_grant *owner, const struct lm_book_entry *e,
		      const char *directory, size_t number, const struct lmodel_run *run,
		      struct lmodel_error *error)
{
	LM_SECRET struct lm_grant *grant = lm_secret_alloc(sizeof(*grant), error);
	const struct lmodel_grantee who = {
		.recipient = e->recipient, .role = e->role,
		.tier = e->role == LMODEL_HOLDER ? e->tier : NULL,
	};
	LM_FREE char *path = file_name(e, directory, number, error);
	LM_FREE uint8_t *text = NULL;
	size_t len;
	int r;

	if (grant == NULL || path == NULL)
		return LMODEL_EFAILED;
	r = lm_grant_for(grant, owner, &who, error);
	if (r == LMODEL_OK)
		r = lm_grant_wrap(grant, e->recipient, true, &text, &len, error);
	if (r == LMODEL_OK)
		r = write_file(path, text, len, error);
	if (r == LMODEL_OK)
		lm_notice(run, "%s is for %s%s%s", LM_QUOTE(path), e->recipient,
			  e->label[0] != '\0' ? " " : "",
			  e->label[0] != '\0' ? LM_QUOTE(e->label) : "");
	return r;
}
