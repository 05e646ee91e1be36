#include "manifest/manifest.h"

#include <stdio.h>

void lm_slot_digest(const struct lm_slot_row *slot, uint8_t digest[LM_SHA256_SIZE])
{
	const struct { const void *bytes; size_t len; } field[] = {
		{ slot->kind, strlen(slot->kind) }, { slot->grant, slot->grant_len },
		{ slot->identity, slot->identity_len },
	};
	uint8_t sums[LM_COUNT(field)][LM_SHA256_SIZE];

	/* Digests of the fields, so that no two divisions into fields are alike. */
	for (size_t i = 0; i < LM_COUNT(field); i++)
		lm_sha256(sums[i], field[i].len > 0 ? field[i].bytes : "", field[i].len);
	lm_sha256(digest, sums, sizeof(sums));
}

bool lm_amount_valid(const char *amount)
{
	size_t len = strlen(amount);

	return len > 0 && len <= LM_AMOUNT_LIMIT && strspn(amount, "0123456789.%e+-") == len;
}

void lm_slot_row_free(struct lm_slot_row *slot)
{
	free(slot->kind);
	free(slot->grant);
	free(slot->identity);
}

void lm_signature_row_free(struct lm_signature_row *signature)
{
	free(signature->kind);
	free(signature->bytes);
}

static void free_tiers(struct lm_manifest *m)
{
	for (size_t i = 0; i < m->tier_count; i++) {
		free(m->tiers[i].name);
		free(m->tiers[i].selection);
		free(m->tiers[i].mask);
		free(m->tiers[i].unit);
		free(m->tiers[i].scope);
		free(m->tiers[i].amount);
	}
	for (size_t i = 0; i < m->sealed_count; i++)
		free(m->sealed[i].name);
	for (size_t i = 0; i < m->slot_count; i++)
		lm_slot_row_free(&m->slots[i]);
	free(m->tiers);
	free(m->shards);
	free(m->sealed);
	free(m->slots);
	free(m->owner.book);
	for (size_t i = 0; i < m->signature_count; i++)
		lm_signature_row_free(&m->signatures[i]);
	free(m->signatures);
}

/* Of rows that were loaded these are in the arena; of others each by itself. */
static void free_piece(const struct lm_manifest *m, void *piece)
{
	if (!lm_arena_has(&m->arena, piece))
		free(piece);
}

void lm_manifest_free(struct lm_manifest *m)
{
	for (size_t i = 0; i < m->member_count; i++) {
		if (!m->members[i].joined)
			free_piece(m, m->members[i].path);
		free_piece(m, m->members[i].chunks);
	}
	for (size_t i = 0; i < m->source_count; i++) {
		free(m->sources[i].name);
		free(m->sources[i].format);
	}
	for (size_t i = 0; i < m->metadata_count; i++) {
		free(m->metadata[i].key);
		free(m->metadata[i].value);
	}
	for (size_t i = 0; i < m->tensor_count; i++) {
		free_piece(m, m->tensors[i].name);
		free_piece(m, m->tensors[i].shape);
	}
	for (size_t i = 0; i < m->attachment_count; i++)
		free(m->attachments[i].name);
	free_tiers(m);
	free(m->members);
	free(m->sources);
	free(m->metadata);
	free(m->tensors);
	free(m->attachments);
	free(m->dead);
	free(m->tool);
	free(m->source_format);
	free(m->must_understand);
	free(m->statement);
	lm_nameset_free(&m->tensor_names);
	lm_arena_free(&m->arena);
	*m = (struct lm_manifest){ 0 };
}

uint64_t lm_member_stored(const struct lm_member *m)
{
	return m->length - lm_member_list(m);
}

bool lm_tier_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= LM_TIER_NAME_LIMIT && name[0] != '.' && name[0] != '-' &&
	       strspn(name,
		      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

void lm_tier_path(const struct lm_tier_row *tier, enum lm_stream stream,
		  char path[LM_TIER_PATH_SIZE])
{
	snprintf(path, LM_TIER_PATH_SIZE, "shard/g%ju/%s/%s", (uintmax_t)tier->generation,
		 tier->name, stream == LM_POSITIONS ? "positions" : "values");
}

static int by_offset(const void *a, const void *b)
{
	const struct lm_extent *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

int lm_manifest_extents(const struct lm_manifest *m, struct lm_extent **extents, size_t *count,
			struct lmodel_error *error)
{
	struct lm_extent *e = calloc(m->member_count + 2 * m->tier_count + 1, sizeof(*e));
	size_t n = 0;

	if (e == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->member_count; i++) {
		if (!m->members[i].joined || n == 0)
			e[n++] = (struct lm_extent){ .offset = m->members[i].offset, .member = i,
						     .tier = LM_NONE };
		e[n - 1].length += m->members[i].length;
		e[n - 1].rows++;
	}
	for (size_t i = 0; i < m->tier_count; i++)
		for (int k = 0; k < 2 && !m->tiers[i].absent; k++)
			e[n++] = (struct lm_extent){ .offset = m->tiers[i].offset[k],
						     .length = m->tiers[i].length[k],
						     .member = LM_NONE, .tier = i,
						     .stream = (enum lm_stream)k };
	/* Mostly they are in order. */
	for (size_t i = 1; i < n; i++)
		if (e[i].offset < e[i - 1].offset) {
			qsort(e, n, sizeof(*e), by_offset);
			break;
		}
	*extents = e;
	*count = n;
	return LMODEL_OK;
}

bool lm_feature_in(const char *features, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = features; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');

		if (end == NULL ? strcmp(line, name) == 0 :
				  (size_t)(end - line) == len && memcmp(line, name, len) == 0)
			return true;
		line = end != NULL ? end + 1 : NULL;
	}
	return false;
}

bool lm_manifest_has_formats(const struct lm_manifest *m)
{
	for (size_t i = 0; i < m->source_count; i++)
		if (strcmp(m->sources[i].format, LM_FORMAT_FIRST) != 0)
			return true;
	return false;
}

static bool has_mask(const struct lm_manifest *m, const char *mask)
{
	for (size_t i = 0; i < m->tier_count; i++)
		if (strcmp(m->tiers[i].mask, mask) == 0)
			return true;
	return false;
}

int lm_manifest_set_features(struct lm_manifest *m, struct lmodel_error *error)
{
	const struct { const char *name; bool needed; } features[] = { /* sorted */
		{ LM_MASK_DEEP_LOCK, has_mask(m, LM_MASK_DEEP_LOCK) },
		{ LM_FEATURE_FORMATS, lm_manifest_has_formats(m) },
		{ LM_MASK_PERTURB, has_mask(m, LM_MASK_PERTURB) },
		{ LM_FEATURE_TIERS, m->tier_count > 0 },
	};
	char *text = lm_strdup("", error);

	for (size_t i = 0; i < LM_COUNT(features) && text != NULL; i++) {
		char *before = text;

		if (!features[i].needed)
			continue;
		text = lm_format(error, "%s%s%s", before, before[0] != '\0' ? "\n" : "",
				 features[i].name);
		free(before);
	}
	free(m->must_understand);
	m->must_understand = text;
	return text == NULL ? LMODEL_EFAILED : LMODEL_OK;
}
