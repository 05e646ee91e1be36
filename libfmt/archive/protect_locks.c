/* Masks that publish a function of the true values, and ancestors: what goes together, and what has
 * to be said of it (spec: 7.3, 7.5, 7.8). */
#include "archive/protect.h"

#include "protect/eligible.h"

/* ---- what goes together ---- */

static int check_deep_lock(const struct lmodel_protect_options *o, struct lmodel_error *error)
{
	if (o->select != LMODEL_SELECT_ALL || o->tier_count != 1)
		return lm_fail(error, LMODEL_EUSAGE,
			       "the mask deep-lock locks everything: selection all, one tier");
	if (o->unit != LMODEL_UNIT_DEFAULT || o->scope != LMODEL_SCOPE_EQUAL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "the mask deep-lock locks tensors whole: no unit, no scope");
	if (o->reference != NULL || o->ancestor != NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "the mask deep-lock shows every byte locked: no reference, no "
			       "ancestor");
	return LMODEL_OK;
}

int lm_protection_check_locks(const struct lmodel_protect_options *o, struct lmodel_error *error)
{
	if (o->mask == LMODEL_MASK_DEEP_LOCK)
		return check_deep_lock(o, error);
	if (o->mask == LMODEL_MASK_PERTURB && o->reference == NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "the mask perturb shows perturbed weights: they are the reference");
	if (o->mask == LMODEL_MASK_ZERO && o->reference != NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "with a reference the base shows it, and no zeros");
	if (o->reference != NULL && o->ancestor != NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "a reference and an ancestor exclude each other");
	return LMODEL_OK;
}

/* ---- the ancestor ---- */

static int differs(const struct lm_protection *p, size_t tensor, size_t beside, bool *differ,
		   struct lmodel_error *error)
{
	enum { PIECE = 1 << 18 };
	const struct lm_source_tensor *t = &p->model.model->tensors[tensor];
	const struct lm_source_tensor *other = &p->ancestor.tensors[beside];
	LM_FREE uint8_t *bytes = malloc(2 * PIECE);
	int r = bytes == NULL ? lm_fail_memory(error) : LMODEL_OK;

	*differ = t->dtype != other->dtype || t->bytes != other->bytes;
	for (uint64_t at = 0; at < t->bytes && r == LMODEL_OK && !*differ; at += PIECE) {
		size_t n = (size_t)LM_MIN(t->bytes - at, (uint64_t)PIECE);

		r = lm_model_read(p->model.model, tensor, at, bytes, n, error);
		if (r == LMODEL_OK)
			r = lm_model_read(&p->ancestor, beside, at, bytes + PIECE, n, error);
		*differ = r == LMODEL_OK && memcmp(bytes, bytes + PIECE, n) != 0;
	}
	return r;
}

struct delta {
	uint64_t units, hidden;  /* that differ, of tensors that were chosen from */
	size_t others;           /* tensors that differ and were not */
	bool taken;
	bool known;              /* the ancestor has at least one of the tensors */
};

static int measure_delta(const struct lm_protection *p, const size_t *alias, struct delta *d,
			 struct lmodel_error *error)
{
	const struct lm_model *model = p->model.model;
	struct lm_names *names = lm_names_new(&p->ancestor, error);
	int r = names == NULL ? LMODEL_EFAILED : LMODEL_OK;

	for (size_t i = 0; i < model->tensor_count && r == LMODEL_OK; i++) {
		const struct lm_selected_tensor *s = lm_selection_of(p->model.selection, i);
		size_t beside = lm_names_find(names, model->tensors[i].name);
		bool taken = p->model.taken != NULL && p->model.taken[i].taken;
		bool differ = beside == SIZE_MAX;

		d->taken |= taken;
		d->known |= !differ;
		if (alias[i] != SIZE_MAX || model->tensors[i].bytes == 0 || taken)
			continue;
		if (s->eligible) {
			d->units += s->candidates;
			d->hidden += s->upto[p->model.tier_count - 1];
			continue;
		}
		if (!differ)
			r = differs(p, i, beside, &differ, error);
		d->others += differ;
	}
	lm_names_free(names);
	return r;
}

/* Who has the ancestor has all that is equal to it; what counts is how much of the rest is
 * hidden. */
static int tell_delta(const struct lm_protection *p, const size_t *alias,
		      struct lmodel_error *error)
{
	struct delta d = { .units = 0 };
	int r = p->model.selection != NULL ? measure_delta(p, alias, &d, error) : LMODEL_OK;
	const char *where = d.taken ? ", in tensors that the earlier release leaves open" : "";

	if (r == LMODEL_OK && p->model.selection != NULL && !d.known)
		r = lm_fail(error, LMODEL_EUSAGE, "the ancestor has no tensor of this model's "
			    "names");
	if (r != LMODEL_OK || d.units == 0)
		return r;
	if (d.hidden == d.units)
		lm_notice(p->run, "the highest tier hides all %ju units that differ from the "
			  "ancestor%s", (uintmax_t)d.units, where);
	else
		lm_notice(p->run,
			  "the highest tier hides %.3g %% of the units that differ from the "
			  "ancestor (%ju of %ju)%s: the others are public, and so is what they "
			  "tell of the training",
			  100.0 * (double)d.hidden / (double)d.units, (uintmax_t)d.hidden,
			  (uintmax_t)d.units, where);
	if (d.others > 0)
		lm_notice(p->run, "%zu tensor%s from the ancestor and cannot be chosen from: "
			  "public as a whole, unless --include picks %s", d.others,
			  d.others == 1 ? " differs" : "s differ", d.others == 1 ? "it" : "them");
	if (p->options->select == LMODEL_SELECT_MAGNITUDE)
		lm_notice(p->run, "selection by magnitude is deterministic: who has the ancestor "
			  "can predict much of the set; pss draws it");
	return LMODEL_OK;
}

/* ---- warnings ---- */

int lm_protection_warn_locks(const struct lm_protection *p, const size_t *alias,
			     struct lmodel_error *error)
{
	if (p->options->mask == LMODEL_MASK_DEEP_LOCK)
		lm_notice(p->run,
			  "mask deep-lock: obfuscation: recoverable without a key: who knows 32 "
			  "bytes in a row, such as zeros or a public layer, opens up to 64 KiB "
			  "around them, and two locked copies open each other; selection all with "
			  "mask zero encrypts");
	if (p->options->mask == LMODEL_MASK_PERTURB)
		lm_notice(p->run,
			  "mask perturb: obfuscation: recoverable without a key: the base is the "
			  "true model but for what was perturbed, and counts as public");
	else if (p->has_reference)
		lm_notice(p->run,
			  "reference: obfuscation: recoverable without a key as far as the base, "
			  "which is the reference, is like the true model; counts as public");
	return p->has_ancestor ? tell_delta(p, alias, error) : LMODEL_OK;
}
