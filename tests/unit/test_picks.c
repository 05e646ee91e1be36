/* protect/picks.c: what goes in comes out, from memory and from the file, which shows none of it. */
#include "protect/picks.h"

#include "crypto/crypto.h"
#include "lib/tap.h"

enum { UNITS = 65536, WINDOWS = 480, TENSORS = 3 };

static uint32_t mixed(uint64_t x)
{
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	return (uint32_t)(x * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

/* About `share` of 1000 units of a window, one in 16 of them open; sparse ones have long gaps. */
static bool make(struct lm_pick_list *list, size_t window, unsigned share)
{
	bool good = lm_pick_list_begin(list, UNITS, NULL) == LMODEL_OK;

	for (size_t i = 0; i < UNITS && good; i++) {
		const uint32_t r = mixed(window * UNITS + i);

		if (r % 1000 >= share && !(i + 1 == UNITS && share > 0))
			continue;
		lm_pick_list_add(list, i, r % 16 == 0 ? LM_PICK_OPEN : (uint8_t)(r / 16 % 5));
		if (r % 16 == 0)
			good = lm_pick_list_add_key(list, r * UINT64_C(0x100000001), NULL) ==
			       LMODEL_OK;
	}
	return good;
}

static bool equal(const struct lm_picked *a, const struct lm_pick_list *b)
{
	return a->count == b->count && a->key_count == b->key_count &&
	       (a->count == 0 || (memcmp(a->at, b->at, a->count * sizeof(*a->at)) == 0 &&
				  memcmp(a->tier, b->tier, a->count) == 0)) &&
	       (a->key_count == 0 ||
		memcmp(a->keys, b->keys, a->key_count * sizeof(*a->keys)) == 0);
}

static const unsigned shares[] = { 80, 0, 1, 250, 1000 };

static bool fill(struct lm_picks *picks, struct lm_pick_list *list)
{
	bool good = true;

	for (size_t w = 0; w < WINDOWS; w++)
		good &= make(list, w, shares[w % LM_COUNT(shares)]) &&
			lm_picks_put(picks, w % TENSORS, w / TENSORS, list, NULL) == LMODEL_OK;
	return good;
}

static bool compare(const struct lm_picks *picks, struct lm_pick_list *list)
{
	struct lm_picked got = { 0 };
	bool good = true;

	for (size_t w = WINDOWS; w-- > 0;)
		good &= make(list, w, shares[w % LM_COUNT(shares)]) &&
			lm_picks_get(picks, w % TENSORS, w / TENSORS, &got, NULL) == LMODEL_OK &&
			equal(&got, list);
	lm_picked_free(&got);
	return good;
}

int main(void)
{
	struct lm_pick_list list = { 0 };
	struct lm_picks *picks;
	bool good = true;

	if (lm_crypto_init(NULL) != LMODEL_OK)
		abort();
	picks = lm_picks_new(TENSORS, NULL, NULL);
	for (size_t t = 0; t < TENSORS; t++) {
		good &= lm_picks_window(picks, t) == 0;
		good &= lm_picks_begin(picks, t, (uint64_t)UNITS * WINDOWS, UNITS, NULL) ==
			LMODEL_OK;
		good &= lm_picks_window(picks, t) == UNITS;
	}
	ok(good, "a tensor is kept from when it is begun");
	ok(fill(picks, &list), "windows of many densities, more than is kept in memory");
	ok(compare(picks, &list), "come out as they went in, in another order");
	lm_picks_drop(picks, 1);
	ok(lm_picks_window(picks, 1) == 0, "dropped, it is kept no more");
	lm_picks_free(picks);
	lm_picks_free(NULL);

	/* Where no file can be. */
	picks = lm_picks_new(1, "/nowhere/at/all", NULL);
	good = picks != NULL && lm_picks_begin(picks, 0, (uint64_t)UNITS * WINDOWS, UNITS, NULL) ==
				LMODEL_OK;
	for (size_t w = 0; w < 4; w++)
		good &= make(&list, w, 80) && lm_picks_put(picks, 0, w, &list, NULL) == LMODEL_OK;
	ok(good, "a little needs no file");
	for (size_t w = 4; w < WINDOWS && good; w++)
		good = make(&list, w, 900) && lm_picks_put(picks, 0, w, &list, NULL) == LMODEL_OK;
	ok(!good, "more does, and fails where there is none");
	lm_picks_free(picks);
	lm_pick_list_free(&list);
	return done();
}
