/* Setting protection up: options to rows, keys, a selection and a mask. */
#include "archive/protect.h"

#include <stdio.h>

#include "archive/duplicates.h"
#include "crypto/secret.h"
#include "keys/slots.h"

/* ---- what the options say ---- */

static const char *const select_names[] = { "pss", "magnitude", "random", "all" };
static const char *const mask_names[] = { "dprm", "zero", LM_MASK_DEEP_LOCK, LM_MASK_PERTURB };
static const char *const unit_names[] = { "default", "element", "slice", "row", "column", "block" };
static const char *const scope_names[] = { "equal", "model", "layer" };

static int check_enums(const struct lmodel_protect_options *o, struct lmodel_error *error)
{
	if ((unsigned)o->select >= LM_COUNT(select_names) ||
	    (unsigned)o->mask >= LM_COUNT(mask_names) ||
	    (unsigned)o->unit >= LM_COUNT(unit_names) ||
	    (unsigned)o->scope >= LM_COUNT(scope_names))
		return lm_fail(error, LMODEL_EUSAGE, "a protection option is not defined");
	return LMODEL_OK;
}

/* A tier of which no weights were asked for: it holds side files alone. */
static bool is_bare(const struct lmodel_protect_options *o, size_t tier)
{
	return o->select != LMODEL_SELECT_ALL && o->tiers[tier].units == 0 &&
	       !(o->tiers[tier].share > 0);
}

static int check_tiers(const struct lm_protection *p, struct lmodel_error *error)
{
	const struct lmodel_protect_options *o = p->options;

	if (o->tier_count == 0 || o->tier_count > LM_TIER_ROW_LIMIT)
		return lm_fail(error, LMODEL_EUSAGE, "%zu tiers: 1 to %u are possible",
			       o->tier_count, LM_TIER_ROW_LIMIT);
	for (size_t i = 0; i < o->tier_count; i++) {
		const struct lmodel_tier_amount *t = &o->tiers[i];

		if (!lm_tier_name_valid(t->name))
			return lm_fail(error, LMODEL_EUSAGE,
				       "tier %s: a name is 1 to %u of A-Z a-z 0-9 "
				       ". _ - and begins with a letter, digit or _",
				       LM_QUOTE(t->name), LM_TIER_NAME_LIMIT);
		if (t->text != NULL && !lm_amount_valid(t->text))
			return lm_fail(error, LMODEL_EUSAGE, "tier %s: %s is no amount", t->name,
				       LM_QUOTE(t->text));
		for (size_t k = 0; k < i; k++)
			if (strcmp(t->name, o->tiers[k].name) == 0)
				return lm_fail(error, LMODEL_EUSAGE, "two tiers are named %s",
					       LM_QUOTE(t->name));
		if (is_bare(o, i) && t->share >= 0 && lm_protection_attaches(p, t->name))
			continue;
		if (o->select != LMODEL_SELECT_ALL && !(t->share > 0 && t->share <= 1) &&
		    t->units == 0)
			return lm_fail(error, LMODEL_EUSAGE, "tier %s: its amount is out of range",
				       t->name);
	}
	return LMODEL_OK;
}

static int check_grantees(const struct lmodel_pack_options *given, struct lmodel_error *error)
{
	const struct lmodel_protect_options *o = given->protect;
	bool owner = false;

	for (size_t i = 0; i < o->grantee_count; i++) {
		const struct lmodel_grantee *g = &o->grantees[i];

		owner |= g->role == LMODEL_OWNER;
		if (lm_grantee_check(g, error))
			return LMODEL_EUSAGE;
	}
	if (o->grantee_count > LM_SLOT_ROW_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%zu key slots; the limit is %u",
			       o->grantee_count, LM_SLOT_ROW_LIMIT);
	if (!owner)
		return lm_fail(error, LMODEL_EUSAGE,
			       "something is to be encrypted: it needs an owner");
	if (given->seed_len > 0 && !o->test_keys)
		return lm_fail(error, LMODEL_EUSAGE,
			       "with a seed every key follows from it: only for "
			       "tests (--test-keys)");
	return LMODEL_OK;
}

/* ---- rows ---- */

static char *amount_text(const struct lmodel_protect_options *o, size_t index,
			 struct lmodel_error *error)
{
	const struct lmodel_tier_amount *t = &o->tiers[index];

	if (o->select == LMODEL_SELECT_ALL)
		return lm_strdup("100%", error);
	if (t->text != NULL)
		return lm_strdup(t->text, error);
	if (t->units > 0 || is_bare(o, index))
		return lm_format(error, "%ju", (uintmax_t)t->units);
	return lm_format(error, "%.10g%%", t->share * 100);
}

static int add_tiers(struct lm_protection *p, struct lmodel_error *error)
{
	const struct lmodel_protect_options *o = p->options;
	struct lm_manifest *m = p->manifest;

	m->tiers = calloc(o->tier_count + 1, sizeof(*m->tiers));
	if (m->tiers == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < o->tier_count; i++) {
		struct lm_tier_row *row = &m->tiers[m->tier_count++];

		row->generation = 1;
		row->name = lm_strdup(o->tiers[i].name, error);
		row->selection = lm_strdup(p->has_reference ? "reference" : select_names[o->select],
					   error);
		row->mask = lm_strdup(p->has_reference && o->mask != LMODEL_MASK_PERTURB ?
					      LM_MASK_BY_REFERENCE : mask_names[o->mask], error);
		row->unit = lm_strdup(unit_names[o->unit], error);
		row->scope = lm_strdup(scope_names[o->scope], error);
		row->amount = amount_text(o, i, error);
		if (row->name == NULL || row->selection == NULL || row->mask == NULL ||
		    row->unit == NULL || row->scope == NULL || row->amount == NULL)
			return LMODEL_EFAILED;
	}
	return lm_manifest_set_features(m, error);
}

/* A shard wherever a tensor has units in a tier. */
static int add_shards(struct lm_protection *p, struct lmodel_error *error)
{
	struct lm_manifest *m = p->manifest;
	size_t capacity = 0;

	for (size_t t = 0; t < m->tier_count; t++) {
		m->tiers[t].first_shard = m->shard_count;
		for (size_t i = 0; i < m->tensor_count; i++) {
			const struct lm_selected_tensor *s = lm_protected_tensor(&p->model, i);
			struct lm_shard_row *row;

			if (m->tensors[i].alias != LM_NONE || !s->eligible ||
			    s->upto[t] == (t > 0 ? s->upto[t - 1] : 0))
				continue;
			if (lm_grow(&m->shards, m->shard_count, &capacity, sizeof(*m->shards),
				    error))
				return LMODEL_EFAILED;
			row = &m->shards[m->shard_count++];
			*row = (struct lm_shard_row){ .tier = t, .tensor = i };
			snprintf(row->unit, sizeof(row->unit), "%s", lm_unit_name(s->units.kind));
			/* Room in the manifest for any length. */
			row->stream[0].length = row->stream[1].length = INT64_MAX;
			m->tiers[t].shard_count++;
		}
	}
	return LMODEL_OK;
}

/* ---- selecting and masking ---- */

static int import_side(struct lm_model *model, const char *path, const struct lmodel_run *run,
		       struct lmodel_error *error)
{
	int r = lm_import(model, path, NULL, run, error);

	if (r == LMODEL_OK)
		r = lm_model_check(model, error);
	return r;
}

/* What an earlier release has decided already is not decided again: two releases with other decoys
 * for equal weights would show where they are. */
static int take_over(struct lm_protection *p, const size_t *alias, struct lmodel_error *error)
{
	int r;

	if (p->options->like == NULL)
		return LMODEL_OK;
	r = lm_like_begin(&p->like, p->options->like, p->options->like_keys, p->model.model, alias,
			  p->manifest, error);
	p->model.taken = p->like.taken;
	p->model.read_taken = lm_like_read;
	p->model.taken_context = &p->like;
	return r;
}

/* The tensors that are left, as lm_select() wants them: an alias is none of its own. False when
 * every tensor that could be chosen from is taken. */
static bool what_is_left(const struct lm_protection *p, const size_t *alias, size_t *left)
{
	bool any = false, taken = false;

	for (size_t i = 0; i < p->model.model->tensor_count; i++) {
		bool t = p->model.taken != NULL && p->model.taken[i].taken;

		left[i] = t ? i : alias[i];
		taken |= t;
		any |= left[i] == SIZE_MAX && p->model.model->tensors[i].bytes > 0;
	}
	return any || !taken;
}

static int select_units(struct lm_protection *p, const size_t *alias, struct lmodel_error *error)
{
	static const enum lm_select_method methods[] = { LM_SELECT_PSS, LM_SELECT_MAGNITUDE,
							 LM_SELECT_RANDOM, LM_SELECT_ALL };
	static const enum lm_select_scope scopes[] = { LM_SCOPE_EQUAL, LM_SCOPE_MODEL,
						       LM_SCOPE_LAYER };
	static const enum lm_unit_kind units[] = { LM_UNIT_ELEMENT, LM_UNIT_ELEMENT, LM_UNIT_SLICE,
						   LM_UNIT_ROW, LM_UNIT_COLUMN, LM_UNIT_BLOCK };
	const struct lmodel_protect_options *o = p->options;
	struct lm_select_amount amounts[LM_TIER_ROW_LIMIT];
	struct lm_select_options s = {
		.method = methods[o->select], .scope = scopes[o->scope],
		.raw_scores = o->raw_scores,
		.unit_given = o->unit != LMODEL_UNIT_DEFAULT, .unit = units[o->unit],
		.tiers = amounts, .tier_count = o->tier_count,
		.includes = o->includes, .include_count = o->include_count,
		.excludes = o->excludes, .exclude_count = o->exclude_count,
		.scores = p->has_scores ? &p->scores : NULL,
		.reference = p->has_reference ? &p->reference :
			     p->has_ancestor  ? &p->ancestor : NULL,
		.ancestor = p->has_ancestor,
		.elements = o->mask == LMODEL_MASK_PERTURB, .directory = p->directory,
	};
	LM_FREE size_t *left = NULL;
	bool weights = false;
	int r;

	if (p->lock_key != NULL) {
		s.unit_given = true;
		s.unit = LM_UNIT_TENSOR;
	}
	for (size_t i = 0; i < o->tier_count; i++)
		amounts[i] = (struct lm_select_amount){
			.name = o->tiers[i].name, .is_share = o->tiers[i].units == 0,
			.share = o->tiers[i].share, .units = o->tiers[i].units,
			.bare = is_bare(o, i),
		};
	for (size_t i = 0; i < o->tier_count; i++)
		weights |= !amounts[i].bare;
	if (!weights)
		return LMODEL_OK;
	left = calloc(p->model.model->tensor_count + 1, sizeof(*left));
	if (left == NULL)
		return lm_fail_memory(error);
	if (!what_is_left(p, alias, left))
		return LMODEL_OK;
	lm_protection_key(p, "selection", "", s.key);
	r = lm_select(&p->model.selection, p->model.model, left, &s, p->run, error);
	lm_wipe(s.key, sizeof(s.key));
	return r;
}

static int make_lock(struct lm_protection *p, struct lmodel_error *error)
{
	if (p->options->mask != LMODEL_MASK_DEEP_LOCK)
		return LMODEL_OK;
	p->lock_key = lm_secret_alloc(LM_KEY, error);
	if (p->lock_key == NULL)
		return LMODEL_EFAILED;
	lm_protection_key(p, LM_MASK_DEEP_LOCK, "", p->lock_key);
	p->model.lock_key = p->lock_key;
	return LMODEL_OK;
}

/* Decoys come from the owner's key. */
static int make_mask(struct lm_protection *p, struct lmodel_error *error)
{
	const struct lm_key_scope scope = { .archive = "", .tier = "" };
	enum lm_mask_method method = p->has_reference ? LM_MASK_REFERENCE :
				     p->options->mask == LMODEL_MASK_ZERO ? LM_MASK_ZERO :
									    LM_MASK_DPRM;
	uint8_t key[LM_KEY];
	int r;

	if (p->model.selection == NULL || p->lock_key != NULL)
		return LMODEL_OK;
	lm_derive(key, p->owner->owner_key, "decoys", &scope);
	r = lm_mask_new(&p->model.mask, method, key, p->model.model, p->model.selection,
			p->has_reference ? &p->reference : NULL, p->run, error);
	lm_wipe(key, sizeof(key));
	return r;
}

static bool is_hidden(const struct lm_protection *p, const size_t *alias, size_t tensor)
{
	return lm_is_protected(&p->model, alias[tensor] != SIZE_MAX ? alias[tensor] : tensor);
}

/* The same bytes under two dtypes are stored twice: in the clear, beside what hides them. */
static int check_twins(const struct lm_protection *p, const size_t *alias,
		       struct lmodel_error *error)
{
	const struct lm_model *m = p->model.model;
	LM_FREE size_t *twin = calloc(m->tensor_count + 1, sizeof(*twin));
	int r = twin == NULL ? lm_fail_memory(error) : lm_find_twins(m, twin, error);

	for (size_t i = 0; i < m->tensor_count && r == LMODEL_OK; i++) {
		if (twin[i] == SIZE_MAX)
			continue;
		if (m->tensors[i].dtype != m->tensors[twin[i]].dtype &&
		    (is_hidden(p, alias, i) || is_hidden(p, alias, twin[i])))
			r = lm_fail(error, LMODEL_EUSAGE,
				    "tensors %s and %s have the same bytes under two "
				    "dtypes: one would show what is hidden in the other",
				    LM_QUOTE(m->tensors[twin[i]].name),
				    LM_QUOTE(m->tensors[i].name));
	}
	return r;
}

/* What is not protected goes into the archive as it is. */
static void warn(const struct lm_protection *p, const size_t *alias)
{
	static const char *const suspect[] = { "hash", "sha256", "md5", "checksum", "digest" };
	const struct lm_model *m = p->model.model;
	size_t whole = 0;

	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lm_selected_tensor *s = lm_protected_tensor(&p->model, i);

		whole += alias[i] == SIZE_MAX && lm_is_protected(&p->model, i) &&
			 s->upto[p->model.tier_count - 1] == s->units.count;
	}
	if (whole > 0 && p->options->select != LMODEL_SELECT_ALL && !p->has_reference)
		lm_notice(p->run,
			  "%zu tensor%s hidden whole: what stands in is constant, and shows it",
			  whole, whole == 1 ? " is" : "s are");
	for (size_t i = 0; i < m->metadata_count; i++)
		for (size_t k = 0; k < LM_COUNT(suspect); k++)
			if (strcasestr(m->metadata[i].key, suspect[k]) != NULL) {
				lm_notice(p->run,
					  "metadata %s stays public: it may tell true weights from "
					  "guesses", LM_QUOTE(m->metadata[i].key));
				break;
			}
	for (size_t i = 0; i < m->tensor_count; i++)
		if (alias[i] != SIZE_MAX && !is_hidden(p, alias, i) &&
		    p->options->exclude_count > 0)
			lm_notice(p->run, "tensor %s has the bytes of %s: it is as public",
				  LM_QUOTE(m->tensors[i].name),
				  LM_QUOTE(m->tensors[alias[i]].name));
}

int lm_protection_begin(struct lm_protection *p, const struct lm_model *model, const size_t *alias,
			struct lm_manifest *manifest, const struct lmodel_pack_options *given,
			const char *directory, struct lmodel_error *error)
{
	const struct lmodel_protect_options *o = given->protect;
	int r;

	*p = (struct lm_protection){ .options = o, .run = &given->run, .manifest = manifest,
				       .directory = directory };
	p->model.model = model;
	p->model.tier_count = o->tier_count;
	r = check_enums(o, error);
	if (r == LMODEL_OK)
		r = lm_protection_check_locks(o, error);
	if (r == LMODEL_OK)
		r = check_tiers(p, error);
	if (r == LMODEL_OK)
		r = check_grantees(given, error);
	if (r == LMODEL_OK && o->scores != NULL) {
		p->has_scores = true;
		r = import_side(&p->scores, o->scores, p->run, error);
	}
	if (r == LMODEL_OK && o->reference != NULL) {
		p->has_reference = true;
		r = import_side(&p->reference, o->reference, p->run, error);
	}
	if (r == LMODEL_OK && o->ancestor != NULL) {
		p->has_ancestor = true;
		r = import_side(&p->ancestor, o->ancestor, p->run, error);
	}
	if (r == LMODEL_OK)
		r = add_tiers(p, error);
	if (r == LMODEL_OK)
		r = lm_protection_keys(p, given, error);
	if (r == LMODEL_OK)
		r = lm_protection_slots(p, error);
	if (r == LMODEL_OK)
		r = make_lock(p, error);
	if (r == LMODEL_OK)
		r = take_over(p, alias, error);
	if (r == LMODEL_OK)
		r = select_units(p, alias, error);
	if (r == LMODEL_OK)
		r = check_twins(p, alias, error);
	if (r == LMODEL_OK)
		r = make_mask(p, error);
	if (r == LMODEL_OK)
		r = add_shards(p, error);
	if (r == LMODEL_OK)
		r = lm_protection_add_sealed(p, error);
	if (r == LMODEL_OK)
		warn(p, alias);
	if (r == LMODEL_OK)
		r = lm_protection_warn_locks(p, alias, error);
	return r;
}

void lm_protection_release(struct lm_protection *p)
{
	lm_mask_free(p->model.mask);
	lm_selection_free(p->model.selection);
	lm_like_release(&p->like);
	if (p->has_scores)
		lm_model_free(&p->scores);
	if (p->has_reference)
		lm_model_free(&p->reference);
	if (p->has_ancestor)
		lm_model_free(&p->ancestor);
	lm_secret_free(p->master);
	lm_secret_free(p->lock_key);
	lm_secret_free(p->owner);
	free(p->content);
	free(p->sealed_from);
}
