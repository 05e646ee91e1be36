#include "protect/scope.h"

#include <math.h>

/* `share` of `n`, rounded half up. Shares are decimal fractions that doubles only come near to:
 * 0.145 of 100 is 14.5 and becomes 15, though the double is a little less than 0.145. */
static uint64_t share_of(double share, uint64_t n)
{
	long double units = (long double)share * (long double)n;

	units = floorl(units + units * 0x1p-51L + 0.5L);
	return units >= (long double)n ? n : (uint64_t)units;
}

static int check_amount(const struct lm_select_amount *amount, struct lmodel_error *error)
{
	if (amount->is_share && !(amount->share > 0 && amount->share <= 1))
		return lm_fail(error, LMODEL_EUSAGE,
			       "tier %s: a share is more than 0 and at most 1 (100%%)",
			       LM_QUOTE(amount->name));
	if (!amount->is_share && amount->units == 0)
		return lm_fail(error, LMODEL_EUSAGE, "tier %s gets no unit",
			       LM_QUOTE(amount->name));
	return LMODEL_OK;
}

static uint64_t amount_of(const struct lm_select_amount *amount, uint64_t n)
{
	return amount->is_share ? share_of(amount->share, n) : amount->units;
}

/* ---- equal counts ---- */

struct set {
	uint64_t candidates;
	size_t number;
};

static int compare_sets(const void *a, const void *b)
{
	const struct set *x = a, *y = b;

	if (x->candidates != y->candidates)
		return x->candidates < y->candidates ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* The same number for each, small ones whole, what those leave to the larger ones. A larger budget
 * gives no set less: so tiers nest. */
static void spread(const struct set *sorted, size_t sets, size_t tiers, size_t tier,
		   uint64_t budget, uint64_t *wanted)
{
	for (size_t i = 0; i < sets; i++) {
		uint64_t n = LM_MIN(sorted[i].candidates, budget / (sets - i));

		wanted[sorted[i].number * tiers + tier] = n;
		budget -= n;
	}
}

/* ---- all scopes ---- */

static int too_many(const struct lm_select_amount *amount, uint64_t available, const char *where,
		    struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_EUSAGE, "tier %s: %ju units of %ju%s", LM_QUOTE(amount->name),
		       (uintmax_t)amount->units, (uintmax_t)available, where);
}

static int share_out_tier(const struct lm_scope *s, const struct set *sorted, size_t tier,
			  uint64_t *wanted, struct lmodel_error *error)
{
	const struct lm_select_amount *amount = &s->tiers[tier];
	uint64_t total = 0, largest = 0;

	for (size_t i = 0; i < s->sets; i++) {
		if (!lm_add(total, s->candidates[i], &total))
			return lm_fail(error, LMODEL_ELIMIT, "too many units");
		largest = LM_MAX(largest, s->candidates[i]);
	}
	if (s->scope == LM_SCOPE_LAYER) {
		if (!amount->is_share && amount->units > largest)
			return too_many(amount, largest, " in the largest tensor", error);
		for (size_t i = 0; i < s->sets; i++)
			wanted[i * s->tier_count + tier] =
				LM_MIN(amount_of(amount, s->candidates[i]), s->candidates[i]);
		return LMODEL_OK;
	}
	if (amount_of(amount, total) > total)
		return too_many(amount, total, " that may be selected", error);
	spread(sorted, s->sets, s->tier_count, tier, amount_of(amount, total), wanted);
	return LMODEL_OK;
}

static int check_rise(const struct lm_scope *s, size_t tier, const uint64_t *wanted,
		      struct lmodel_error *error)
{
	const char *name = s->tiers[tier].name;
	bool more = false;

	for (size_t i = 0; i < s->sets; i++) {
		const uint64_t *w = wanted + i * s->tier_count + tier;
		uint64_t below = tier == 0 ? 0 : w[-1];

		if (*w < below)
			return lm_fail(error, LMODEL_EUSAGE,
				       "tier %s: amounts are to rise from tier to tier, in every "
				       "tensor: %ju units after %ju", LM_QUOTE(name), (uintmax_t)*w,
				       (uintmax_t)below);
		more |= *w > below;
	}
	if (!more)
		return lm_fail(error, LMODEL_EUSAGE, "tier %s gets no unit%s", LM_QUOTE(name),
			       tier == 0 ? "" : " beside those of the tiers before it");
	return LMODEL_OK;
}

static void as_below(const struct lm_scope *s, size_t tier, uint64_t *wanted)
{
	for (size_t i = 0; i < s->sets; i++) {
		uint64_t *w = wanted + i * s->tier_count + tier;

		*w = tier == 0 ? 0 : w[-1];
	}
}

int lm_scope_share_out(const struct lm_scope *s, uint64_t *wanted, struct lmodel_error *error)
{
	LM_FREE struct set *sorted = calloc(s->sets, sizeof(*sorted));
	int r = LMODEL_OK;

	if (sorted == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < s->sets; i++)
		sorted[i] = (struct set){ s->candidates[i], i };
	qsort(sorted, s->sets, sizeof(*sorted), compare_sets);
	for (size_t t = 0; t < s->tier_count && r == LMODEL_OK; t++) {
		if (s->tiers[t].bare) {
			as_below(s, t, wanted);
			continue;
		}
		r = check_amount(&s->tiers[t], error);
		if (r == LMODEL_OK)
			r = share_out_tier(s, sorted, t, wanted, error);
		if (r == LMODEL_OK)
			r = check_rise(s, t, wanted, error);
	}
	return r;
}
