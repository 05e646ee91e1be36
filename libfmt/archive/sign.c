#include "archive/sign.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "archive/change.h"
#include "base/io.h"
#include "crypto/age/ssh_key.h"
#include "crypto/secret.h"
#include "crypto/sig/signers.h"
#include "crypto/sig/sshsig.h"

#define KIND_SSH "sshsig"
#define KIND_MINISIGN "minisign"

static int read_file(const char *path, size_t limit, uint8_t **bytes, size_t *len,
		     struct lmodel_error *error)
{
	char label[LM_QUOTE_SIZE];
	LM_CLOSE int fd = -1;
	uint64_t size;
	int r = lm_open_regular(path, O_RDONLY, &fd, &size, error);

	if (r != LMODEL_OK)
		return r;
	if (size > limit)
		return lm_fail(error, LMODEL_ELIMIT, "%s: %ju bytes; the limit is %zu",
			       LM_QUOTE(path), (uintmax_t)size, limit);
	*bytes = lm_secret_alloc((size_t)size + 1, error);
	if (*bytes == NULL)
		return LMODEL_EFAILED;
	*len = (size_t)size;
	return lm_read_at(fd, lm_quote(label, path), *bytes, (size_t)size, 0, error);
}

/* ---- looking ---- */

void lm_archive_free_signatures(struct lmodel_archive *a)
{
	for (size_t i = 0; a->signatures != NULL && i < a->manifest.signature_count; i++)
		free((void *)(uintptr_t)a->signatures[i].signer);
	free(a->signatures);
	a->signatures = NULL;
}

static char *show_ssh(const struct lmodel_archive *a, const struct lm_signature_row *row,
		      bool *of_this, struct lmodel_error *error)
{
	const char *statement = a->manifest.statement;
	struct lm_sshsig sig;
	char text[LM_SSH_FINGERPRINT];

	if (lm_sshsig_parse(&sig, row->bytes, row->len, NULL))
		return lm_strdup("malformed", error);
	*of_this = lm_sshsig_verify(&sig, LMODEL_SIGNATURE_NAMESPACE, statement, strlen(statement));
	lm_ssh_public_fingerprint(text, &sig.key);
	return lm_strdup(text, error);
}

static char *show_minisign(const struct lm_signature_row *row, struct lmodel_error *error)
{
	struct lm_minisign *sig = calloc(1, sizeof(*sig));
	char text[LM_MINISIGN_ID] = "malformed", *shown;

	if (sig == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	if (lm_minisign_parse(sig, row->bytes, row->len, NULL) == LMODEL_OK)
		lm_minisign_id(text, sig->id);
	shown = lm_strdup(text, error);
	free(sig);
	return shown;
}

int lm_archive_make_signatures(struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;

	a->signatures = calloc(m->signature_count + 1, sizeof(*a->signatures));
	if (a->signatures == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->signature_count; i++) {
		struct lmodel_signature *s = &a->signatures[i];

		s->kind = m->signatures[i].kind;
		s->signer = strcmp(s->kind, KIND_SSH) == 0 ?
				    show_ssh(a, &m->signatures[i], &s->of_this, error) :
				    show_minisign(&m->signatures[i], error);
		if (s->signer == NULL)
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

size_t lmodel_signature_count(const struct lmodel_archive *a)
{
	return a->manifest.signature_count;
}

const struct lmodel_signature *lmodel_signature_at(const struct lmodel_archive *a, size_t index)
{
	return index < a->manifest.signature_count ? &a->signatures[index] : NULL;
}

/* ---- making ---- */

/* As row `at`, which may be the one behind the last. */
static int put_row(struct lm_manifest *m, size_t at, const char *kind, const uint8_t *bytes,
		   size_t len, struct lmodel_error *error)
{
	struct lm_signature_row row = { .len = len };

	if (at == LM_SIGNATURE_ROW_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%u signatures, the limit",
			       LM_SIGNATURE_ROW_LIMIT);
	row.kind = lm_strdup(kind, error);
	row.bytes = malloc(len);
	if (row.kind == NULL || row.bytes == NULL) {
		lm_signature_row_free(&row);
		return lm_fail_memory(error);
	}
	memcpy(row.bytes, bytes, len);
	if (at == m->signature_count) {
		struct lm_signature_row *grown = realloc(m->signatures, (at + 1) * sizeof(*grown));

		if (grown == NULL) {
			lm_signature_row_free(&row);
			return lm_fail_memory(error);
		}
		m->signatures = grown;
		m->signature_count++;
	} else {
		lm_signature_row_free(&m->signatures[at]);
	}
	m->signatures[at] = row;
	return LMODEL_OK;
}

static size_t place_of_ssh(const struct lm_manifest *m, const struct lm_sshsig *sig)
{
	size_t i = 0;

	for (; i < m->signature_count; i++) {
		struct lm_sshsig other;

		if (strcmp(m->signatures[i].kind, KIND_SSH) == 0 &&
		    lm_sshsig_parse(&other, m->signatures[i].bytes, m->signatures[i].len, NULL) ==
			    LMODEL_OK &&
		    lm_ssh_public_equal(&other.key, &sig->key))
			break;
	}
	return i;
}

static size_t place_of_minisign(const struct lm_manifest *m, const struct lm_minisign *sig)
{
	struct lm_minisign *other = calloc(1, sizeof(*other));
	size_t i = 0;

	for (; other != NULL && i < m->signature_count; i++)
		if (strcmp(m->signatures[i].kind, KIND_MINISIGN) == 0 &&
		    lm_minisign_parse(other, m->signatures[i].bytes, m->signatures[i].len, NULL) ==
			    LMODEL_OK &&
		    memcmp(other->id, sig->id, sizeof(sig->id)) == 0)
			break;
	free(other);
	return i;
}

static int put_ssh(struct lm_manifest *m, const uint8_t *text, size_t len,
		   struct lmodel_error *error)
{
	LM_FREE char *canonical = NULL;
	struct lm_sshsig sig;
	int r = lm_sshsig_parse(&sig, text, len, error);

	if (r != LMODEL_OK)
		return r;
	if (!lm_sshsig_verify(&sig, LMODEL_SIGNATURE_NAMESPACE, m->statement, strlen(m->statement)))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "the signature is not of this archive's statement "
			       "in the namespace %s", LMODEL_SIGNATURE_NAMESPACE);
	r = lm_sshsig_text(&canonical, &sig, error);
	if (r != LMODEL_OK)
		return r;
	return put_row(m, place_of_ssh(m, &sig), KIND_SSH, (const uint8_t *)canonical,
		       strlen(canonical), error);
}

static int sign(const struct lm_manifest *m, const char *key_file, char **text,
		struct lmodel_error *error)
{
	LM_SECRET uint8_t *bytes = NULL;
	char label[LM_QUOTE_SIZE];
	uint8_t seed[32], public_key[32];
	size_t len;
	int r = read_file(key_file, LM_AGE_FILE_LIMIT, &bytes, &len, error);

	if (r == LMODEL_OK)
		r = lm_ssh_private_parse(bytes, len, lm_quote(label, key_file), seed, public_key,
					 error);
	if (r == LMODEL_OK)
		r = lm_sshsig_sign(text, seed, LMODEL_SIGNATURE_NAMESPACE, m->statement,
				   strlen(m->statement), error);
	lm_wipe(seed, sizeof(seed));
	return r;
}

int lm_manifest_sign(struct lm_manifest *m, const char *key_file, struct lmodel_error *error)
{
	LM_FREE char *text = NULL;
	int r;

	m->signatures = NULL;
	m->signature_count = 0;
	if (key_file == NULL)
		return LMODEL_OK;
	r = sign(m, key_file, &text, error);
	return r == LMODEL_OK ? put_ssh(m, (const uint8_t *)text, strlen(text), error) : r;
}

int lmodel_sign(const char *archive, const char *key_file, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	LM_FREE char *text = NULL;
	struct lm_change c;
	int r;

	error = error != NULL ? error : &local;
	r = lm_change_open(&c, archive, true, error);
	if (r == LMODEL_OK)
		r = sign(&c.archive->manifest, key_file, &text, error);
	if (r == LMODEL_OK) {
		lm_archive_free_signatures(c.archive);
		r = put_ssh(&c.archive->manifest, (const uint8_t *)text, strlen(text), error);
	}
	if (r == LMODEL_OK)
		r = lm_change_store(&c, &c.archive->manifest, c.archive->footer.committed_len,
				    true, error);
	lm_change_end(&c);
	return r;
}

/* ---- signers ---- */

static int load_signers(const char *path, struct lm_signers **signers, struct lmodel_error *error)
{
	LM_SECRET uint8_t *bytes = NULL;
	char label[LM_QUOTE_SIZE];
	size_t len;
	int r = read_file(path, LM_SIGNERS_FILE, &bytes, &len, error);

	*signers = NULL;
	if (r != LMODEL_OK)
		return r;
	return lm_signers_parse(signers, bytes, len, lm_quote(label, path), NULL, error);
}

/* By whom of the signers, or why by none: `*known` when the key is one of theirs. */
static int check_minisign(const char *statement, const uint8_t *bytes, size_t len,
			  const struct lm_signers *signers, const struct lm_signer **by,
			  bool *known, struct lmodel_error *error)
{
	struct lm_minisign *sig = calloc(1, sizeof(*sig));
	int r;

	if (sig == NULL)
		return lm_fail_memory(error);
	r = lm_minisign_parse(sig, bytes, len, error);
	if (r == LMODEL_OK)
		r = lm_signers_find_minisign(signers, sig->id, by, error);
	*known = r == LMODEL_OK;
	if (r == LMODEL_OK &&
	    !lm_minisign_verify(sig, &(*by)->minisign, statement, strlen(statement)))
		r = lm_fail(error, LMODEL_ECORRUPT, "the signature is of another statement");
	free(sig);
	return r;
}

static int check_ssh(const char *statement, const uint8_t *bytes, size_t len,
		     const struct lm_signers *signers, const struct lm_signer **by, bool *known,
		     struct lmodel_error *error)
{
	struct lm_sshsig sig;
	int r = lm_sshsig_parse(&sig, bytes, len, error);

	if (r == LMODEL_OK)
		r = lm_signers_find_ssh(signers, &sig.key, LMODEL_SIGNATURE_NAMESPACE,
					(int64_t)time(NULL), by, error);
	*known = r == LMODEL_OK;
	if (r == LMODEL_OK &&
	    !lm_sshsig_verify(&sig, LMODEL_SIGNATURE_NAMESPACE, statement, strlen(statement)))
		r = lm_fail(error, LMODEL_ECORRUPT, "the signature is of another statement");
	return r;
}

static int check_row(const struct lm_manifest *m, size_t index, const struct lm_signers *signers,
		     const struct lm_signer **by, bool *known, struct lmodel_error *error)
{
	const struct lm_signature_row *row = &m->signatures[index];

	return strcmp(row->kind, KIND_SSH) == 0 ?
		       check_ssh(m->statement, row->bytes, row->len, signers, by, known, error) :
		       check_minisign(m->statement, row->bytes, row->len, signers, by, known,
				      error);
}

int lmodel_check_signers(const struct lmodel_archive *a, const char *path, char **principal,
			 struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT, why = LMODEL_ERROR_INIT;
	const struct lm_signer *by = NULL;
	struct lm_signers *signers = NULL;
	bool other_statement = false;
	int r;

	error = error != NULL ? error : &local;
	if (principal != NULL)
		*principal = NULL;
	if (a->manifest.signature_count == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is not signed", a->label);
	r = load_signers(path, &signers, error);
	if (r != LMODEL_OK)
		return r;
	r = LMODEL_ECORRUPT;
	for (size_t i = 0; i < a->manifest.signature_count && r != LMODEL_OK; i++) {
		bool known = false;

		why = (struct lmodel_error)LMODEL_ERROR_INIT;
		r = check_row(&a->manifest, i, signers, &by, &known, &why);
		other_statement |= known && r != LMODEL_OK;
	}
	if (r == LMODEL_OK && principal != NULL) {
		*principal = lm_strdup(by->name, error);
		r = *principal == NULL ? LMODEL_EFAILED : LMODEL_OK;
	} else if (r != LMODEL_OK && other_statement) {
		r = lm_fail(error, LMODEL_ECORRUPT,
			    "%s: the signature is not of what the archive is now", a->label);
	} else if (r != LMODEL_OK) {
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: is signed by nobody in %s: %s", a->label,
			    LM_QUOTE(path), why.message);
	}
	lm_signers_free(signers);
	return r;
}

/* ---- taking in ---- */

static int put_minisign(struct lm_manifest *m, const uint8_t *text, size_t len, const char *path,
			struct lmodel_error *error)
{
	struct lm_minisign *sig = calloc(1, sizeof(*sig));
	struct lm_signers *signers = NULL;
	const struct lm_signer *by;
	bool known;
	int r;

	if (sig == NULL)
		return lm_fail_memory(error);
	if (path == NULL)
		r = lm_fail(error, LMODEL_EUSAGE,
			    "a minisign signature does not hold its key: name a file "
			    "of signers that does");
	else
		r = load_signers(path, &signers, error);
	if (r == LMODEL_OK)
		r = check_minisign(m->statement, text, len, signers, &by, &known, error);
	if (r == LMODEL_OK)
		r = lm_minisign_parse(sig, text, len, error);
	if (r == LMODEL_OK)
		r = put_row(m, place_of_minisign(m, sig), KIND_MINISIGN, text, len, error);
	lm_signers_free(signers);
	free(sig);
	return r;
}

int lmodel_sign_import(const char *archive, const char *signature_file, const char *signers,
		       struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	LM_SECRET uint8_t *text = NULL;
	struct lm_change c;
	size_t len;
	int r;

	error = error != NULL ? error : &local;
	r = lm_change_open(&c, archive, true, error);
	if (r == LMODEL_OK)
		r = read_file(signature_file, LM_SIGNATURE_FILE_LIMIT, &text, &len, error);
	if (r == LMODEL_OK) {
		lm_archive_free_signatures(c.archive);
		r = lm_minisign_begins(text, len) ?
			    put_minisign(&c.archive->manifest, text, len, signers, error) :
			    put_ssh(&c.archive->manifest, text, len, error);
	}
	if (r == LMODEL_OK)
		r = lm_change_store(&c, &c.archive->manifest, c.archive->footer.committed_len,
				    true, error);
	lm_change_end(&c);
	return r;
}
