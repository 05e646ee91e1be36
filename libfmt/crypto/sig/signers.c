#include "crypto/sig/signers.h"

#include <stdio.h>

#include "crypto/age/base64.h"
#include "crypto/crypto.h"
#include "crypto/sig/signer_options.h"
#include "crypto/sig/wire.h"

/* Characters of the longest key that is read. */
enum { KEY_TEXT = (LM_SSH_PUBLIC_WIRE + 2) / 3 * 4 };

static const char untrusted[] = "untrusted comment:";

struct field {
	const char *at;
	size_t len;
};

/* A file while it is read. */
struct reader {
	struct lm_signers *signers;
	const struct lmodel_run *run;
	char where[LM_QUOTE_SIZE + 32]; /* the line, for messages */
	size_t line;
	size_t left_out;
	bool after_comment;   /* the last line was an untrusted comment, */
	struct field comment; /* this one */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct field trimmed(struct field f)
{
	while (f.len > 0 && is_blank(f.at[0])) {
		f.at++;
		f.len--;
	}
	while (f.len > 0 && (is_blank(f.at[f.len - 1]) || f.at[f.len - 1] == '\r'))
		f.len--;
	return f;
}

/* What stands up to the next blank outside of quotes; `rest` is then what follows. */
static bool next_field(struct field *rest, struct field *field)
{
	bool quoted = false;
	size_t n = 0;

	*rest = trimmed(*rest);
	for (; n < rest->len && (quoted || !is_blank(rest->at[n])); n++) {
		if (rest->at[n] == '\\' && n + 1 < rest->len && rest->at[n + 1] == '"')
			n++;
		else if (rest->at[n] == '"')
			quoted = !quoted;
	}
	*field = (struct field){ rest->at, n };
	*rest = trimmed((struct field){ rest->at + n, rest->len - n });
	return n > 0 && !quoted;
}

static bool has_prefix(struct field f, const char *prefix)
{
	return f.len >= strlen(prefix) && memcmp(f.at, prefix, strlen(prefix)) == 0;
}

/* No option begins like the name of a kind of key. */
static bool is_kind(struct field f)
{
	return has_prefix(f, "ssh-") || has_prefix(f, "ecdsa-") || has_prefix(f, "sk-") ||
	       has_prefix(f, "rsa-") || has_prefix(f, "webauthn-");
}

static int malformed(const struct reader *reader, const char *what, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: %s", reader->where, what);
}

static int leave_out(struct reader *reader, const char *why)
{
	lm_notice(reader->run, "%s: left out: %s", reader->where, why);
	reader->left_out++;
	return LMODEL_OK;
}

/* ---- keys ---- */

static void signer_free(struct lm_signer *signer)
{
	free(signer->name);
	free(signer->namespaces);
}

/* Takes what `signer` holds in any case. */
static int add(struct reader *reader, struct lm_signer *signer, struct lmodel_error *error)
{
	struct lm_signers *s = reader->signers;
	int r = LMODEL_OK;

	signer->line = reader->line;
	if (s->count == LM_SIGNERS_LIMIT)
		r = lm_fail(error, LMODEL_ELIMIT, "%s: more than %u keys", s->label,
			    LM_SIGNERS_LIMIT);
	else
		r = lm_grow(&s->list, s->count, &s->capacity, sizeof(*s->list), error);
	if (r == LMODEL_OK)
		s->list[s->count++] = *signer;
	else
		signer_free(signer);
	return r;
}

static char *copy(struct field f, struct lmodel_error *error)
{
	char *text = malloc(f.len + 1);

	if (text == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	memcpy(text, f.at, f.len);
	text[f.len] = '\0';
	return text;
}

/* Kind and base 64. `*usable` is false for a key of another kind, about which the notice was. */
static int read_ssh(struct reader *reader, struct field kind, struct field text,
		    struct lm_ssh_public *key, bool *usable, struct lmodel_error *error)
{
	struct lmodel_error inner = LMODEL_ERROR_INIT;
	struct field plain = { "ssh-ed25519", 11 }, fido = { "sk-ssh-ed25519@openssh.com", 26 };
	const struct field *known = kind.len == plain.len ? &plain : &fido;
	uint8_t wire[KEY_TEXT];
	struct lm_wire rest, name;
	size_t len;

	*usable = kind.len == known->len && memcmp(kind.at, known->at, kind.len) == 0;
	if (!*usable)
		return leave_out(reader, "only ssh-ed25519 keys and their FIDO form are supported");
	if (text.len > sizeof(wire) ||
	    !lm_base64_padded_decode(wire, &len, (const uint8_t *)text.at, text.len))
		return malformed(reader, "the key is malformed: mistyped or cut", error);
	rest = (struct lm_wire){ wire, len };
	if (!lm_wire_string(&rest, &name) || name.left != kind.len ||
	    memcmp(name.at, kind.at, kind.len) != 0)
		return malformed(reader, "the key is of another kind than it says", error);
	if (lm_ssh_public_read(key, wire, len, &inner))
		return lm_fail(error, inner.code, "%s: %s", reader->where, inner.message);
	return LMODEL_OK;
}

/* Two keys of one id would make it unclear whose signature it is. */
static int add_minisign(struct reader *reader, struct field text, struct lmodel_error *error)
{
	struct lm_signer signer = { .kind = LM_SIGNER_MINISIGN };
	struct lmodel_error inner = LMODEL_ERROR_INIT;
	char id[LM_MINISIGN_ID];

	if (lm_minisign_key_parse(&signer.minisign, text.at, text.len, &inner))
		return lm_fail(error, inner.code, "%s: %s", reader->where, inner.message);
	lm_minisign_id(id, signer.minisign.id);
	for (size_t i = 0; i < reader->signers->count; i++) {
		const struct lm_signer *other = &reader->signers->list[i];

		if (other->kind == LM_SIGNER_MINISIGN &&
		    memcmp(other->minisign.id, signer.minisign.id, sizeof(signer.minisign.id)) == 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: the minisign key id %s is that of line %zu too",
				       reader->where, id, other->line);
	}
	if (reader->comment.len > 0)
		signer.name = copy(reader->comment, error);
	else
		signer.name = lm_format(error, "minisign public key %s", id);
	if (signer.name == NULL)
		return LMODEL_EFAILED;
	return add(reader, &signer, error);
}

/* ---- lines ---- */

/* A public key file: the comment is the name. */
static int parse_plain(struct reader *reader, struct field kind, struct field rest,
		       struct lmodel_error *error)
{
	struct lm_signer signer = { .kind = LM_SIGNER_SSH };
	char fingerprint[LM_SSH_FINGERPRINT];
	struct field text;
	bool usable;
	int r;

	if (!next_field(&rest, &text))
		return malformed(reader, "the key is missing", error);
	r = read_ssh(reader, kind, text, &signer.ssh, &usable, error);
	if (r != LMODEL_OK || !usable)
		return r;
	lm_ssh_public_fingerprint(fingerprint, &signer.ssh);
	signer.name = rest.len > 0 ? copy(rest, error) : lm_strdup(fingerprint, error);
	if (signer.name == NULL)
		return LMODEL_EFAILED;
	return add(reader, &signer, error);
}

/* Whether the list can match anyone: not only exclusions and nothing. */
static bool names_someone(struct field principals)
{
	bool first = true;

	for (size_t i = 0; i < principals.len; i++) {
		if (first && principals.at[i] != '!' && principals.at[i] != ',')
			return true;
		first = principals.at[i] == ',';
	}
	return false;
}

/* The list may be in quotes as a whole: it holds blanks then. */
static bool unquote(struct field *f)
{
	if (f->len >= 2 && f->at[0] == '"' && f->at[f->len - 1] == '"') {
		f->at++;
		f->len -= 2;
	}
	return memchr(f->at, '"', f->len) == NULL && names_someone(*f);
}

static int parse_allowed(struct reader *reader, struct field principals, struct field rest,
			 struct lmodel_error *error)
{
	struct lm_signer_options options = { .cert_authority = false };
	struct lm_signer signer = { .kind = LM_SIGNER_SSH };
	struct field kind, text;
	bool usable = true;
	int r = LMODEL_OK;

	if (!unquote(&principals))
		return malformed(reader, "the first field names no principal", error);
	if (!next_field(&rest, &kind))
		return malformed(reader, "is no line of an allowed_signers file", error);
	if (!is_kind(kind)) {
		r = lm_signer_options_parse(&options, kind.at, kind.len, reader->where, error);
		if (r != LMODEL_OK)
			return r;
		signer.namespaces = options.namespaces;
		signer.after = options.after;
		signer.before = options.before;
		if (!next_field(&rest, &kind) || !is_kind(kind))
			r = malformed(reader, "the key is missing", error);
	}
	if (r == LMODEL_OK && !next_field(&rest, &text))
		r = malformed(reader, "the key is missing", error);
	if (r == LMODEL_OK)
		r = read_ssh(reader, kind, text, &signer.ssh, &usable, error);
	if (r == LMODEL_OK && usable && options.cert_authority) {
		usable = false;
		r = leave_out(reader, "certificates are not supported");
	}
	if (r == LMODEL_OK && usable) {
		signer.name = copy(principals, error);
		if (signer.name != NULL)
			return add(reader, &signer, error);
		r = LMODEL_EFAILED;
	}
	signer_free(&signer);
	return r;
}

static int parse_line(struct reader *reader, struct field line, struct lmodel_error *error)
{
	struct field rest = line, first, second, behind;

	if (reader->after_comment || (line.len == LM_MINISIGN_KEY_TEXT && has_prefix(line, "RW") &&
				      memchr(line.at, ' ', line.len) == NULL))
		return add_minisign(reader, line, error);
	if (!next_field(&rest, &first))
		return malformed(reader, "a quote without its end", error);
	behind = rest;
	/* A principal could have the name of a kind; a kind or options would follow it. */
	if (is_kind(first) && next_field(&behind, &second) && has_prefix(second, "AAAA"))
		return parse_plain(reader, first, rest, error);
	return parse_allowed(reader, first, rest, error);
}

static int parse_lines(struct reader *reader, struct field file, struct lmodel_error *error)
{
	while (file.len > 0) {
		const char *end = memchr(file.at, '\n', file.len);
		size_t n = end == NULL ? file.len : (size_t)(end - file.at);
		struct field line = { file.at, n };
		int r = LMODEL_OK;

		file.at += n + (end != NULL);
		file.len -= n + (end != NULL);
		snprintf(reader->where, sizeof(reader->where), "%s: line %zu",
			 reader->signers->label, ++reader->line);
		if (n > LM_SIGNERS_LINE)
			return lm_fail(error, LMODEL_ELIMIT, "%s: has %zu bytes; the limit is %u",
				       reader->where, n, LM_SIGNERS_LINE);
		line = trimmed(line);
		if (!reader->after_comment && has_prefix(line, untrusted)) {
			const size_t skip = sizeof(untrusted) - 1;

			reader->comment =
				trimmed((struct field){ line.at + skip, line.len - skip });
			reader->after_comment = true;
			continue;
		}
		if (reader->after_comment || (line.len > 0 && line.at[0] != '#'))
			r = parse_line(reader, line, error);
		if (r != LMODEL_OK)
			return r;
		reader->after_comment = false;
		reader->comment.len = 0;
	}
	if (reader->after_comment)
		return malformed(reader, "a minisign public key without its second line", error);
	return LMODEL_OK;
}

/* ---- files ---- */

void lm_signers_free(struct lm_signers *signers)
{
	if (signers == NULL)
		return;
	for (size_t i = 0; i < signers->count; i++)
		signer_free(&signers->list[i]);
	free(signers->list);
	free(signers->label);
	free(signers);
}

static int parse_file(struct reader *reader, struct field file, struct lmodel_error *error)
{
	const char *label = reader->signers->label;
	int r = lm_crypto_init(error);

	if (r != LMODEL_OK)
		return r;
	if (file.len > LM_SIGNERS_FILE)
		return lm_fail(error, LMODEL_ELIMIT, "%s: has %zu bytes; the limit is %u", label,
			       file.len, LM_SIGNERS_FILE);
	if (file.len > 0 && memchr(file.at, '\0', file.len) != NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is no text", label);
	r = parse_lines(reader, file, error);
	if (r == LMODEL_OK && reader->signers->count == 0)
		return lm_fail(error, reader->left_out > 0 ? LMODEL_EUNSUPPORTED : LMODEL_ECORRUPT,
			       "%s: holds no key that can be used", label);
	return r;
}

int lm_signers_parse(struct lm_signers **signers, const uint8_t *bytes, size_t len,
		     const char *label, const struct lmodel_run *run, struct lmodel_error *error)
{
	struct reader reader = { .signers = calloc(1, sizeof(**signers)), .run = run };
	int r;

	if (reader.signers == NULL)
		return lm_fail_memory(error);
	reader.signers->label = lm_strdup(label, error);
	if (reader.signers->label == NULL)
		r = LMODEL_EFAILED;
	else
		r = parse_file(&reader, (struct field){ (const char *)bytes, len }, error);
	if (r == LMODEL_OK)
		*signers = reader.signers;
	else
		lm_signers_free(reader.signers);
	return r;
}
