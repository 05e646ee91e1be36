/* The vectors of tests/vectors, made a second time with the library: keys, lengths, contexts,
 * position streams, grants, books, statements (spec: 6.2 to 8.6). Those of chunked.json are in
 * test_chunked.c. */
#include "archive/content.h"
#include "archive/shard.h"
#include "archive/unlock.h"
#include "crypto/chunked.h"
#include "crypto/curve.h"
#include "crypto/secret.h"
#include "keys/book.h"
#include "lib/vectors.h"
#include "protect/positions.h"

#include <lmodel/error.h>

/* ---- keys ---- */

static void check_keys(const char *name, const json_t *in, const json_t *out)
{
	static const char *const labels[] = { LM_LABEL_VALUES, LM_LABEL_POSITIONS, LM_LABEL_MAC,
					      LM_LABEL_COMMITMENT, LM_LABEL_POSITION_MAC,
					      LM_LABEL_POSITION_COMMITMENT };
	struct lm_manifest m = { .tiers = make(1, sizeof(*m.tiers)), .tier_count = 1 };
	const char *archive = text(in, "archive"), *tier = text(in, "tier");
	const struct lm_key_scope scope = { archive, tier, number(in, "generation") };
	uint8_t given[LM_KEY], positions[LM_KEY], made[LM_KEY];

	key(in, "key", given);
	if (*tier == '\0') {
		lm_derive(made, given, LM_LABEL_BOOK, &scope);
		ok(is_hex(made, LM_KEY, out, LM_LABEL_BOOK), "%s", name);
		lm_manifest_free(&m);
		return;
	}
	lm_derive(positions, given, LM_LABEL_POSITIONS, &scope);
	for (size_t i = 0; i < LM_COUNT(labels); i++) {
		lm_derive(made, i < 4 ? given : positions, labels[i], &scope);
		ok(is_hex(made, LM_KEY, out, labels[i]), "%s: %s", name, labels[i]);
	}
	snprintf(m.id, sizeof(m.id), "%s", archive);
	m.statement = copy(in, "statement");
	m.tiers[0].name = copy(in, "tier");
	m.tiers[0].generation = scope.generation;
	lm_statement_mac(made, given, LM_LABEL_MAC, &m, 0);
	ok(is_hex(made, LM_KEY, out, "key_mac"), "%s: MAC of the statement", name);
	lm_statement_mac(made, positions, LM_LABEL_POSITION_MAC, &m, 0);
	ok(is_hex(made, LM_KEY, out, "position_mac"), "%s: MAC under the position key", name);
	lm_manifest_free(&m);
}

/* ---- lengths ---- */

static void check_padding(const char *name, const json_t *in, const json_t *out)
{
	uint64_t padded = lm_padded_len(number(in, "length")), plain = 0;

	ok(padded == number(out, "padded"), "%s: padded", name);
	ok(lm_sealed_len(padded) == number(out, "sealed"), "%s: sealed", name);
	if (padded <= LM_SEALED_LIMIT)
		ok(lm_sealed_plain_len(lm_sealed_len(padded), &plain) && plain == padded,
		   "%s: and back", name);
}

/* ---- rows ---- */

static struct lm_member member_of(const json_t *in)
{
	const json_t *chunks = json_object_get(in, "chunks");
	struct lm_member m = {
		.path = copy(in, "path"), .bytes = number(in, "bytes"),
		.chunk_bytes = number(in, "chunk_bytes"),
		.chunk_count = (uint32_t)json_array_size(chunks),
		.chunks = make(json_array_size(chunks), sizeof(*m.chunks)),
	};

	snprintf(m.coding_name, sizeof(m.coding_name), "%s", text(in, "coding"));
	for (uint32_t i = 0; i < m.chunk_count; i++)
		m.chunks[i] = (uint32_t)number_at(chunks, i);
	key(in, "digest", m.digest);
	return m;
}

static struct lm_tensor_row tensor_of(const json_t *in)
{
	const json_t *shape = json_object_get(in, "shape"), *alias = json_object_get(in, "alias");
	struct lm_tensor_row t = {
		.name = copy(in, "name"), .dtype = lm_dtype_find(text(in, "dtype")),
		.rank = (unsigned)json_array_size(shape), .bytes = number(in, "bytes"),
		.shape = make(json_array_size(shape), sizeof(*t.shape)),
		.source = (size_t)number(in, "source"),
		.alias = alias != NULL ? (size_t)json_integer_value(alias) : LM_NONE,
		.member = alias != NULL ? LM_NONE : (size_t)number(in, "member"),
	};

	for (unsigned i = 0; i < t.rank; i++)
		t.shape[i] = number_at(shape, i);
	return t;
}

static struct lm_tier_row tier_of(const json_t *in)
{
	struct lm_tier_row t = {
		.name = copy(in, "name"), .generation = number(in, "generation"),
		.selection = copy(in, "selection"), .mask = copy(in, "mask"),
		.unit = copy(in, "unit"), .scope = copy(in, "scope"), .amount = copy(in, "amount"),
	};

	key(in, "key_commitment", t.key_commitment);
	key(in, "position_commitment", t.position_commitment);
	return t;
}

static struct lm_shard_row shard_of(const json_t *in)
{
	static const char *const kinds[] = { "positions", "values" };
	struct lm_shard_row s = { .tier = (size_t)number(in, "tier"),
				  .tensor = (size_t)number(in, "tensor") };

	snprintf(s.unit, sizeof(s.unit), "%s", text(in, "unit"));
	for (int k = 0; k < 2; k++) {
		const json_t *stream = json_object_get(in, kinds[k]);

		s.stream[k].length = number(stream, "length");
		key(stream, "digest", s.stream[k].digest);
	}
	return s;
}

/* ---- contexts ---- */

/* Rows before the one that the vector is about have nothing in them. */
static void check_context(const char *name, const json_t *in, const json_t *out)
{
	const json_t *tensor = json_object_get(in, "tensor"), *member = json_object_get(in, "member");
	size_t row = (size_t)number(in, "row"), holder = (size_t)number(tensor, "member"), n;
	struct lm_manifest m = {
		.tensors = make(row + 1, sizeof(*m.tensors)), .tensor_count = row + 1,
		.members = make(holder + 1, sizeof(*m.members)), .member_count = holder + 1,
		.tiers = make(1, sizeof(*m.tiers)), .tier_count = 1,
	};
	struct lm_shard_row shard = { .tensor = row };
	uint8_t base[LM_SHA256_SIZE], context[LM_SHARD_CONTEXT];

	snprintf(m.id, sizeof(m.id), "%s", text(in, "archive"));
	snprintf(shard.unit, sizeof(shard.unit), "%s", text(in, "unit"));
	m.tensors[row] = tensor_of(tensor);
	m.members[holder] = member_of(member);
	m.tiers[0].name = copy(in, "tier");
	m.tiers[0].generation = number(in, "generation");
	is_int(lm_content_base_digest(&m, row, base, NULL), LMODEL_OK, name);
	ok(is_hex(base, sizeof(base), out, "base_digest"), "%s: base digest", name);
	n = lm_shard_context(context, &m, &shard, LM_POSITIONS, base, number(in, "padded"));
	ok(is_hex(context, n, out, "positions"), "%s: of positions", name);
	n = lm_shard_context(context, &m, &shard, LM_VALUES, base, number(in, "padded"));
	ok(is_hex(context, n, out, "values"), "%s: of values", name);
	lm_manifest_free(&m);
}

static void check_attachment(const char *name, const json_t *in, const json_t *out)
{
	struct lm_manifest m = { .tiers = make(1, sizeof(*m.tiers)), .tier_count = 1 };
	struct lm_sealed_row sealed = { .name = copy(in, "name") };
	uint8_t context[LM_ATTACHMENT_CONTEXT];
	size_t n;

	snprintf(m.id, sizeof(m.id), "%s", text(in, "archive"));
	m.tiers[0].name = copy(in, "tier");
	m.tiers[0].generation = number(in, "generation");
	n = lm_attachment_context(context, &m, &sealed, number(in, "padded"));
	ok(is_hex(context, n, out, "context"), "attachment: %s", name);
	free(sealed.name);
	lm_manifest_free(&m);
}

/* ---- positions ---- */

struct stream {
	uint8_t *bytes;
	size_t at, len;
	bool same;               /* what was written so far is what stands there */
};

static int compare_bytes(void *context, const uint8_t *made, size_t len, struct lmodel_error *error)
{
	struct stream *s = context;

	(void)error;
	s->same = s->same && len <= s->len - s->at && memcmp(made, s->bytes + s->at, len) == 0;
	s->at += len;
	return s->same ? LMODEL_OK : LMODEL_EFAILED;
}

static int read_bytes(void *context, uint8_t *buffer, size_t len, size_t *got,
		      struct lmodel_error *error)
{
	struct stream *s = context;

	(void)error;
	*got = LM_MIN(s->len - s->at, len);
	memcpy(buffer, s->bytes + s->at, *got);
	s->at += *got;
	return LMODEL_OK;
}

static struct lm_positions_form form_of(const json_t *in, size_t len)
{
	static const char *const forms[] = { "none", "all", "gaps", "complement", "runs" };
	const json_t *runs = json_object_get(in, "runs");
	struct lm_positions_form f = { .universe = number(in, "universe"),
				       .runs = json_array_size(runs), .len = len };

	while (strcmp(forms[f.form], text(in, "form")) != 0)
		f.form++;
	if (f.form == LM_POSITIONS_RUNS) {
		f.gap = UINT64_C(1) << number(in, "g");
		f.run = UINT64_C(1) << number(in, "r");
	} else if (f.form >= LM_POSITIONS_GAPS) {
		f.gap = number(in, "m");
	}
	for (size_t i = 0; i < f.runs; i++) {
		f.count += number_at(json_array_get(runs, i), 1);
		f.last_plus = number_at(json_array_get(runs, i), 0) +
			      number_at(json_array_get(runs, i), 1);
	}
	return f;
}

/* Whether the stream gives just these runs, put together where they touch. */
static bool reads(struct stream *s, const struct lm_positions_form *form, const json_t *runs)
{
	struct lm_positions_reader *r;
	uint64_t first, count, end = 0;
	size_t i = 0;
	bool good;

	s->at = 0;
	r = lm_positions_reader_new(form->universe, read_bytes, s, NULL);
	if (r == NULL)
		return false;
	good = lm_positions_reader_count(r) == form->count;
	while (good && (good = lm_positions_reader_next(r, &first, &count, NULL) == LMODEL_OK) &&
	       count > 0) {
		bool begins = i == 0 || first > end;

		if (begins && i > 0)
			good = end == number_at(json_array_get(runs, i - 1), 0) +
				      number_at(json_array_get(runs, i - 1), 1);
		if (begins)
			good = good && first == number_at(json_array_get(runs, i++), 0);
		end = first + count;
	}
	lm_positions_reader_free(r);
	return good && i == json_array_size(runs) && end == form->last_plus;
}

static void check_positions(const char *name, const json_t *in, const json_t *out)
{
	struct stream s = { .same = true };
	LM_FREE uint8_t *wanted = bytes(out, "stream", &s.len);
	const json_t *runs = json_object_get(in, "runs");
	const struct lm_positions_form form = form_of(in, s.len);
	struct lm_positions_writer *w;
	int r = LMODEL_OK;

	s.bytes = wanted;
	w = lm_positions_writer_new(&form, compare_bytes, &s, NULL);
	for (size_t i = 0; i < form.runs && r == LMODEL_OK; i++)
		r = lm_positions_writer_add(w, number_at(json_array_get(runs, i), 0),
					    number_at(json_array_get(runs, i), 1), NULL);
	if (r == LMODEL_OK)
		r = lm_positions_writer_finish(w, NULL);
	lm_positions_writer_free(w);
	ok(r == LMODEL_OK && s.same && s.at == s.len, "%s: written", name);
	ok(reads(&s, &form, runs), "%s: read", name);
}

/* ---- grants and books ---- */

static void check_grant(const char *name, const json_t *in, const json_t *out)
{
	const json_t *tiers = json_object_get(in, "tiers");
	LM_SECRET struct lm_grant *g = lm_secret_alloc(sizeof(*g), NULL);
	LM_SECRET struct lm_grant *back = lm_secret_alloc(sizeof(*back), NULL);
	LM_SECRET char *made = NULL;

	if (g == NULL || back == NULL || !lm_role_parse(text(in, "role"), &g->role))
		abort();
	snprintf(g->archive, sizeof(g->archive), "%s", text(in, "archive"));
	key(in, "owner", g->owner);
	key(in, "owner_key", g->owner_key);
	key(in, "owner_seed", g->owner_seed);
	for (; g->tier_count < json_array_size(tiers); g->tier_count++) {
		const json_t *t = json_array_get(tiers, g->tier_count);
		struct lm_grant_tier *row = &g->tiers[g->tier_count];

		snprintf(row->name, sizeof(row->name), "%s", text(t, "name"));
		row->generation = number(t, "generation");
		key(t, "key", row->key);
	}
	g->text_len = (size_t)number(in, "pad_to");
	made = lm_grant_print(g, NULL);
	is_str(made, text(out, "text"), name);
	is_int((intmax_t)lm_grant_text_len(g), (intmax_t)number(out, "length"), "... its length");
	g->text_len = 0;
	ok(lm_grant_parse(back, text(out, "text"), strlen(text(out, "text")), NULL) == LMODEL_OK &&
	   memcmp(back, g, sizeof(*g)) == 0, "... is read");
}

/* What books know the slots by; the entries go into the book. */
static bool add_entries(struct lm_book *book, const json_t *in, const json_t *slots)
{
	const json_t *entries = json_object_get(in, "entries");
	size_t count = json_array_size(entries) * (size_t)number(in, "repeat");
	bool good = json_array_size(slots) == count;

	for (size_t i = 0; i < count; i++) {
		const json_t *e = json_array_get(entries, i % json_array_size(entries));
		const char *wanted = json_string_value(json_array_get(slots, i));
		struct lmodel_grantee who = { .tier = text(e, "tier"), .label = text(e, "label") };
		struct lm_slot_row slot = { .kind = copy(e, "kind") };
		uint8_t digest[LM_SHA256_SIZE];
		char hex[2 * LM_SHA256_SIZE + 1];

		slot.grant = bytes(e, "grant", &slot.grant_len);
		if (json_is_string(json_object_get(e, "identity")))
			slot.identity = bytes(e, "identity", &slot.identity_len);
		lm_slot_digest(&slot, digest);
		lm_hex(hex, digest, sizeof(digest));
		good = good && wanted != NULL && strcmp(hex, wanted) == 0 &&
		       lm_role_parse(text(e, "role"), &who.role) &&
		       lm_book_add(book, digest, &who, text(e, "recipient"),
				   (int64_t)number(e, "since"), NULL) == LMODEL_OK;
		lm_slot_row_free(&slot);
	}
	return good;
}

static void check_book(const char *name, const json_t *in, const json_t *out)
{
	struct lm_manifest m = { .owner = { .present = true, .book_counter = number(in, "counter") } };
	const json_t *exposed = json_object_get(in, "exposed");
	struct lm_book book = { 0 }, back;
	LM_FREE uint8_t *salt = bytes(in, "salt", NULL);
	uint8_t owner_key[LM_KEY], digest[LM_SHA256_SIZE];

	snprintf(m.id, sizeof(m.id), "%s", text(in, "archive"));
	key(in, "owner_key", owner_key);
	for (size_t i = 0; i < json_array_size(exposed); i++)
		lm_book_expose(&book, json_string_value(json_array_get(exposed, i)), true);
	ok(add_entries(&book, in, json_object_get(out, "slots")), "%s: slots", name);
	is_int(lm_book_seal(&book, &m, owner_key, salt, NULL), LMODEL_OK, name);
	lm_sha256(digest, m.owner.book, m.owner.book_len);
	is_int((intmax_t)m.owner.book_len, (intmax_t)number(out, "length"), "... length");
	ok(is_hex(digest, sizeof(digest), out, "sha256"), "... SHA-256");
	if (ok(lm_book_open(&back, &m, owner_key, NULL) == LMODEL_OK && back.count == book.count &&
	       back.exposed_count == book.exposed_count, "... opens"))
		lm_book_free(&back);
	lm_book_free(&book);
	lm_manifest_free(&m);
}

/* ---- statements ---- */

static struct lm_sealed_row sealed_of(const json_t *in)
{
	struct lm_sealed_row s = { .name = copy(in, "name"), .tier = (size_t)number(in, "tier") };

	s.stream.length = number(in, "length");
	key(in, "digest", s.stream.digest);
	return s;
}

/* Rows of one kind: an array of them, with its count. */
#define ROWS(manifest, field, n, in, name)                                                     \
	const json_t *field##_in = json_object_get((in), (name));                               \
	(manifest)->n = json_array_size(field##_in);                                            \
	(manifest)->field = make((manifest)->n, sizeof(*(manifest)->field));                    \
	for (size_t i = 0; i < (manifest)->n; i++)                                              \
		(manifest)->field[i]

static void read_rows(struct lm_manifest *m, const json_t *in)
{
#define ROW(field) json_array_get(field##_in, i)
	ROWS(m, members, member_count, in, "members") = member_of(ROW(members));
	ROWS(m, tensors, tensor_count, in, "tensors") = tensor_of(ROW(tensors));
	ROWS(m, tiers, tier_count, in, "tiers") = tier_of(ROW(tiers));
	ROWS(m, shards, shard_count, in, "shards") = shard_of(ROW(shards));
	ROWS(m, sealed, sealed_count, in, "sealed") = sealed_of(ROW(sealed));
	ROWS(m, attachments, attachment_count, in, "attachments") = (struct lm_attachment_row){
		.name = copy(ROW(attachments), "name"),
		.member = (size_t)number(ROW(attachments), "member") };
	ROWS(m, metadata, metadata_count, in, "metadata") = (struct lm_metadata_row){
		.source = (size_t)number(ROW(metadata), "source"),
		.key = copy(ROW(metadata), "key"), .value = copy(ROW(metadata), "value") };
	ROWS(m, sources, source_count, in, "sources") = (struct lm_source_row){
		.name = copy(ROW(sources), "name"), .format = copy(ROW(sources), "format"),
		.bytes = number(ROW(sources), "bytes"),
		.skeleton = (size_t)number(ROW(sources), "skeleton") };
}

static void check_statement(const char *name, const json_t *in, const json_t *out)
{
	const json_t *head = json_object_get(in, "archive");
	struct lm_manifest m = {
		.format = 1, .content_generation = number(head, "content_generation"),
		.created = (int64_t)number(head, "created"), .tool = copy(head, "tool"),
		.source_format = copy(head, "source_format"),
	};
	uint8_t root[LM_SHA256_SIZE], seed[32], signature[LM_SIGNATURE];
	LM_FREE char *message = NULL;
	size_t len = 0;

	read_rows(&m, in);
	snprintf(m.id, sizeof(m.id), "%s", text(head, "id"));
	m.must_understand = lm_strdup(m.tier_count > 0 ? LM_FEATURE_TIERS : "", NULL);
	m.owner.present = m.tier_count > 0;
	key(in, "owner_seed", seed);
	if (m.owner.present && lm_ed25519_public(m.owner.public_key, seed, NULL) != LMODEL_OK)
		abort();
	is_int(lm_content_root(&m, m.id, root, NULL), LMODEL_OK, name);
	ok(is_hex(root, sizeof(root), out, "root"), "... root");
	m.statement = lm_content_statement(&m, root, NULL);
	is_str(m.statement, text(out, "statement"), "... statement");
	if (m.owner.present && m.statement != NULL) {
		ok(is_hex(m.owner.public_key, 32, out, "public_key"), "... public key");
		message = lm_owner_message(m.statement, &len, NULL);
		ok(message != NULL &&
		   lm_ed25519_sign(signature, seed, message, len, NULL) == LMODEL_OK &&
		   is_hex(signature, sizeof(signature), out, "signature"), "... signature");
	}
	lm_manifest_free(&m);
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	vectors("keys.json", 12, check_keys);
	vectors("padding.json", 25, check_padding);
	vectors("context.json", 17, check_context);
	vectors("attachment.json", 8, check_attachment);
	vectors("positions.json", 22, check_positions);
	vectors("grant.json", 7, check_grant);
	vectors("book.json", 8, check_book);
	vectors("statement.json", 7, check_statement);
	return done();
}
