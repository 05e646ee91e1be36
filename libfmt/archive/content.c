#include "archive/content.h"

#include <stdio.h>

/* A leaf is a row: its fields, each with its length before it, so that no two rows and no two
 * divisions into fields hash alike. Leaves carry their own length the same way. They gather in
 * `bytes`, as a call of the hash function for each costs more than its bytes. */
struct leaves {
	struct lm_hash *hash;
	uint8_t *bytes;
	size_t len, capacity;
	size_t begin; /* of the leaf that is being made, its length first */
	struct lmodel_error *error;
	bool failed;
};

enum { GATHER = 1 << 16 };

static uint8_t *room(struct leaves *l, size_t len)
{
	if (l->capacity - l->len < len) {
		size_t wanted = 2 * l->capacity + len + 256;
		uint8_t *grown = realloc(l->bytes, wanted);

		if (grown == NULL) {
			lm_fail_memory(l->error);
			l->failed = true;
			return NULL;
		}
		l->bytes = grown;
		l->capacity = wanted;
	}
	l->len += len;
	return l->bytes + l->len - len;
}

static void add_bytes(struct leaves *l, const void *bytes, size_t len)
{
	uint8_t *to = room(l, 8 + len);

	if (to == NULL)
		return;
	lm_put_u64(to, len);
	if (len > 0)
		memcpy(to + 8, bytes, len);
}

static void add_text(struct leaves *l, const char *text)
{
	add_bytes(l, text, strlen(text));
}

static void add_number(struct leaves *l, uint64_t value)
{
	uint8_t *to = room(l, 16);

	if (to == NULL)
		return;
	lm_put_u64(to, 8);
	lm_put_u64(to + 8, value);
}

static void begin(struct leaves *l, const char *kind, uint64_t id)
{
	l->begin = l->len;
	(void)room(l, 8);
	add_text(l, kind);
	add_number(l, id);
}

static void flush(struct leaves *l)
{
	lm_hash_add(l->hash, l->bytes, l->len);
	l->len = 0;
}

static void end(struct leaves *l)
{
	if (l->failed)
		return;
	lm_put_u64(l->bytes + l->begin, l->len - l->begin - 8);
	if (l->len >= GATHER)
		flush(l);
}

static int leaves_begin(struct leaves *l, const char *domain, struct lmodel_error *error)
{
	*l = (struct leaves){ .hash = lm_hash_new(error), .error = error };
	if (l->hash == NULL)
		return LMODEL_EFAILED;
	lm_hash_add(l->hash, domain, strlen(domain));
	return LMODEL_OK;
}

static int leaves_finish(struct leaves *l, uint8_t digest[LM_SHA256_SIZE])
{
	if (!l->failed)
		flush(l);
	lm_hash_finish(l->hash, digest);
	lm_hash_free(l->hash);
	free(l->bytes);
	return l->failed ? LMODEL_EFAILED : LMODEL_OK;
}

static void add_member(struct leaves *l, const struct lm_member *m)
{
	add_text(l, lm_member_own_path(m));
	add_number(l, m->bytes);
	add_text(l, m->coding_name);
	add_number(l, m->chunk_bytes);
	add_bytes(l, m->chunks, (size_t)m->chunk_count * sizeof(*m->chunks));
	add_bytes(l, m->digest, sizeof(m->digest));
}

static void add_tensor(struct leaves *l, const struct lm_tensor_row *t)
{
	add_text(l, t->name);
	add_text(l, t->dtype->name);
	add_bytes(l, t->shape, t->rank * sizeof(*t->shape));
	add_number(l, t->bytes);
	add_number(l, t->source);
	add_number(l, t->alias != LM_NONE);
	add_number(l, t->alias != LM_NONE ? t->alias : t->member);
}

static void add_shard(struct leaves *l, const struct lm_shard_row *s)
{
	add_number(l, s->tier);
	add_number(l, s->tensor);
	add_text(l, s->unit);
	for (int k = 0; k < 2; k++) {
		add_number(l, s->stream[k].length);
		add_bytes(l, s->stream[k].digest, LM_SHA256_SIZE);
	}
}

/* Not where it is, and not its MACs, which are over the statement that this goes into. */
static void add_tier(struct leaves *l, const struct lm_tier_row *t)
{
	add_text(l, t->name);
	add_number(l, t->generation);
	add_text(l, t->selection);
	add_text(l, t->mask);
	add_text(l, t->unit);
	add_text(l, t->scope);
	add_text(l, t->amount);
	add_bytes(l, t->key_commitment, LM_SHA256_SIZE);
	add_bytes(l, t->position_commitment, LM_SHA256_SIZE);
}

/* Kinds in alphabetical order, rows in the order of their ids (spec: 6.2). */
static void add_rows(const struct lm_manifest *m, const char *id, struct leaves *l)
{
	begin(l, "archive", 0);
	add_text(l, id);
	add_number(l, m->format);
	add_number(l, (uint64_t)m->created);
	add_text(l, m->tool);
	add_text(l, m->source_format);
	add_text(l, m->must_understand);
	end(l);
	for (size_t i = 0; i < m->attachment_count; i++) {
		begin(l, "attachment", i);
		add_text(l, m->attachments[i].name);
		add_number(l, m->attachments[i].member);
		end(l);
	}
	for (size_t i = 0; i < m->member_count; i++) {
		begin(l, "member", i);
		add_member(l, &m->members[i]);
		end(l);
	}
	for (size_t i = 0; i < m->metadata_count; i++) {
		begin(l, "metadata", i);
		add_number(l, m->metadata[i].source);
		add_text(l, m->metadata[i].key);
		add_text(l, m->metadata[i].value);
		end(l);
	}
	for (size_t i = 0; i < m->sealed_count; i++) {
		begin(l, "sealed", i);
		add_text(l, m->sealed[i].name);
		add_number(l, m->sealed[i].tier);
		add_number(l, m->sealed[i].stream.length);
		add_bytes(l, m->sealed[i].stream.digest, LM_SHA256_SIZE);
		end(l);
	}
	for (size_t i = 0; i < m->shard_count; i++) {
		begin(l, "shard", i);
		add_shard(l, &m->shards[i]);
		end(l);
	}
	for (size_t i = 0; i < m->source_count; i++) {
		begin(l, "source", i);
		add_text(l, m->sources[i].name);
		add_text(l, m->sources[i].format);
		add_number(l, m->sources[i].bytes);
		add_number(l, m->sources[i].skeleton);
		end(l);
	}
	for (size_t i = 0; i < m->tensor_count; i++) {
		begin(l, "tensor", i);
		add_tensor(l, &m->tensors[i]);
		end(l);
	}
	for (size_t i = 0; i < m->tier_count; i++) {
		begin(l, "tier", i);
		add_tier(l, &m->tiers[i]);
		end(l);
	}
}

int lm_content_root(const struct lm_manifest *m, const char *id, uint8_t root[LM_SHA256_SIZE],
		    struct lmodel_error *error)
{
	struct leaves l;

	if (leaves_begin(&l, "lmodel-content-root-v1\n", error))
		return LMODEL_EFAILED;
	add_rows(m, id, &l);
	return leaves_finish(&l, root);
}

int lm_content_base_digest(const struct lm_manifest *m, size_t tensor,
			   uint8_t digest[LM_SHA256_SIZE], struct lmodel_error *error)
{
	size_t member = m->tensors[tensor].member;
	struct leaves l;

	if (leaves_begin(&l, "lmodel-base-tensor-v1\n", error))
		return LMODEL_EFAILED;
	begin(&l, "tensor", tensor);
	add_tensor(&l, &m->tensors[tensor]);
	end(&l);
	begin(&l, "member", member);
	add_member(&l, &m->members[member]);
	end(&l);
	return leaves_finish(&l, digest);
}

/* Lines of the statement that only some archives have. */
static int print_protection(const struct lm_manifest *m, FILE *out)
{
	char a[2 * LM_SHA256_SIZE + 1], b[2 * LM_SHA256_SIZE + 1];

	if (m->must_understand[0] != '\0') {
		fputs("must-understand ", out);
		for (const char *c = m->must_understand; *c != '\0'; c++)
			fputc(*c == '\n' ? ' ' : *c, out);
		fputc('\n', out);
	}
	if (m->owner.present) {
		lm_hex(a, m->owner.public_key, sizeof(m->owner.public_key));
		fprintf(out, "owner ed25519 %s\n", a);
	}
	for (size_t i = 0; i < m->tier_count; i++) {
		const struct lm_tier_row *t = &m->tiers[i];

		lm_hex(a, t->key_commitment, LM_SHA256_SIZE);
		lm_hex(b, t->position_commitment, LM_SHA256_SIZE);
		fprintf(out, "tier %02zu %s generation %ju key %s positions %s\n", i, t->name,
			(uintmax_t)t->generation, a, b);
	}
	return ferror(out);
}

char *lm_content_statement(const struct lm_manifest *m, const uint8_t root[LM_SHA256_SIZE],
			   struct lmodel_error *error)
{
	char hex[2 * LM_SHA256_SIZE + 1], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	lm_hex(hex, root, LM_SHA256_SIZE);
	fprintf(out, "lmodel-statement-v1\n"
		     "archive %s\n"
		     "content-generation %ju\n"
		     "content-root %s\n"
		     "format %u\n", m->id, (uintmax_t)m->content_generation, hex, m->format);
	if (print_protection(m, out) | fclose(out)) {
		free(text);
		lm_fail_memory(error);
		return NULL;
	}
	return text;
}
