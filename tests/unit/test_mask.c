/* protect/mask.c: decoys do not depend on what they hide, nor on how they are asked for. */
#include "protect/mask.h"

#include <pthread.h>

#include "crypto/crypto.h"
#include "lib/tap.h"
#include "protect/donors.h"
#include "unit/mask_world.h"

/* Overwrites what is selected. */
static void scramble_hidden(struct world *w, size_t tensor)
{
	const struct lm_units *units = &w->selection.of[tensor].units;

	for (uint64_t i = 0; i < units->bytes; i++)
		if (is_selected(&w->selection, tensor, unit_of(units, i)))
			w->bytes[tensor][i] ^= (uint8_t)(mixed(i) | 1);
	flush(w, tensor);
}

/* What holds for each dtype, kind and shape: tensor 0 of `w` is filled. */
static void check_laws(struct world *w, const char *what)
{
	const struct lm_units *units = &w->selection.of[0].units;
	struct lm_mask *mask = mask_with(w, "key", 1), *other = mask_with(w, "other", 1), *again;
	size_t n = (size_t)units->bytes, odd = n / 37 + 1;
	uint8_t *a = filled(w, mask, 0, n), *b = filled(w, mask, 0, odd), *c, *d, *e, *f;

	ok(memcmp(a, w->bytes[0], n) != 0, "%s: decoys differ from what they hide", what);
	ok(memcmp(a, b, n) == 0, "%s: however it is cut", what);
	ok(all_finite(w, 0, a), "%s: finite", what);
	c = filled(w, other, 0, n);
	ok(memcmp(a, c, n) != 0, "%s: another key, other decoys", what);
	if (lm_units_contiguous(units)) {
		d = applied(w, mask, 0, units->count);
		ok(memcmp(a, d, n) == 0, "%s: apply is fill", what);
		free(d);
		d = applied(w, mask, 0, 13);
		ok(memcmp(a, d, n) == 0, "%s: also by thirteens", what);
		free(d);
	}
	scramble_hidden(w, 0);
	again = mask_with(w, "key", 3);
	e = filled(w, again, 0, n);
	f = filled(w, mask, 0, n);
	ok(memcmp(e, f, n) == 0 && memcmp(a, f, n) == 0,
	   "%s: hidden values and the number of jobs change nothing", what);
	lm_mask_free(mask);
	lm_mask_free(other);
	lm_mask_free(again);
	free(a);
	free(b);
	free(c);
	free(e);
	free(f);
}

struct law {
	const char *dtype;
	enum lm_unit_kind kind;
	unsigned rank;
	uint64_t shape[4];
};

static const struct law laws[] = {
	{ "F32", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F32", LM_UNIT_ELEMENT, 1, { 3000 } },
	{ "F32", LM_UNIT_ELEMENT, 4, { 8, 9, 3, 3 } },
	{ "F32", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F32", LM_UNIT_SLICE, 3, { 20, 30, 1 } },
	{ "F32", LM_UNIT_ROW, 2, { 100, 40 } },
	{ "F32", LM_UNIT_COLUMN, 2, { 40, 100 } },
	{ "F32", LM_UNIT_BLOCK, 2, { 59, 61 } },
	{ "F32", LM_UNIT_ROW, 2, { 50, 20000 } },
	{ "F32", LM_UNIT_SLICE, 3, { 8, 8, 3000 } },
	{ "F32", LM_UNIT_ELEMENT, 2, { 700, 900 } },
	{ "F32", LM_UNIT_COLUMN, 2, { 10, 70000 } },
	{ "F32", LM_UNIT_ELEMENT, 2, { 300000, 2 } }, /* rows share scales */
	{ "BF16", LM_UNIT_ELEMENT, 2, { 2, 300000 } },
	{ "BF16", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "BF16", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F16", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F16", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F64", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "C64", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "C64", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F8_E4M3", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F8_E5M2", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F8_E4M3FNUZ", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F8_E5M2FNUZ", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F8_E8M0", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "BOOL", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "U8", LM_UNIT_ROW, 2, { 60, 70 } },
	{ "I16", LM_UNIT_ELEMENT, 1, { 900 } },
	{ "I64", LM_UNIT_COLUMN, 2, { 60, 70 } },
	{ "F4", LM_UNIT_BLOCK, 2, { 100, 70 } },
	{ "F4", LM_UNIT_ROW, 2, { 100, 70 } },
	{ "F6_E2M3", LM_UNIT_BLOCK, 2, { 100, 70 } },
	{ "F6_E3M2", LM_UNIT_BLOCK, 1, { 5004 } },
};

static void test_laws(void)
{
	for (size_t i = 0; i < LM_COUNT(laws); i++) {
		const struct law *law = &laws[i];
		struct world w = { 0 };
		char what[64];

		snprintf(what, sizeof(what), "%s %s %u", law->dtype, lm_unit_name(law->kind),
			 law->rank);
		add(&w, "t.weight", law->dtype, law->kind, law->rank, law->shape, RULE_SHARE, 30);
		if (lm_donors_numeric(lm_dtype_find(law->dtype)))
			fill_normal(&w, 0, 0, i * 1000003);
		else
			fill_bytes(&w, 0, strcmp(law->dtype, "BOOL") == 0 ? 1 : 0xff, i);
		check_laws(&w, what);
		clear(&w);
	}
}

static void test_methods(void)
{
	static const uint64_t square[] = { 40, 50 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct world w = { 0 }, reference = { 0 };
	uint8_t key[32] = { 1 }, *base, *direct;
	struct lm_mask *mask;
	size_t n = 8000;

	for (unsigned i = 0; i < 2; i++) {
		add(&w, i ? "b" : "a", "F32", i ? LM_UNIT_ROW : LM_UNIT_ELEMENT, 2, square,
		    RULE_SHARE, 30);
		add(&reference, i ? "a" : "b", "F32", LM_UNIT_ELEMENT, 2, square, RULE_NONE, 0);
		fill_normal(&w, i, 0, i);
		fill_normal(&reference, i, 0, 7 + i);
	}
	need(lm_mask_new(&mask, LM_MASK_ZERO, key, &w.model, &w.selection, NULL, NULL, &error),
	     &error);
	base = applied(&w, mask, 0, 77);
	for (size_t i = 0; i < n; i++)
		if (base[i] != (is_selected(&w.selection, 0, i / 4) ? 0 : w.bytes[0][i])) {
			base[0] = 1;
			n = 0;
		}
	ok(n != 0, "zero: just the selected units");
	free(base);
	lm_mask_free(mask);
	n = 8000;
	need(lm_mask_new(&mask, LM_MASK_REFERENCE, key, &w.model, &w.selection, &reference.model,
			 NULL, &error), &error);
	for (size_t t = 0; t < 2; t++) {
		size_t wrong = 0;

		base = applied(&w, mask, t, t == 0 ? 2000 : 7);
		direct = filled(&w, mask, t, 100);
		for (size_t i = 0; i < n; i++)
			wrong += base[i] != (is_selected(&w.selection, t,
							 unit_of(&w.selection.of[t].units, i)) ?
					     reference.bytes[1 - t][i] : w.bytes[t][i]);
		is_int((intmax_t)wrong, 0, "reference: its bytes, found by name");
		ok(memcmp(base, direct, n) == 0, "by fill too");
		free(base);
		free(direct);
	}
	lm_mask_free(mask);
	reference.model.tensors[0].name[0] = 'x';
	is_int(lm_mask_new(&mask, LM_MASK_REFERENCE, key, &w.model, &w.selection, &reference.model,
			   NULL, &error), LMODEL_EUSAGE, "a reference without a tensor");
	is_error(&error, LMODEL_EUSAGE, "no tensor 'b'", "the message names it");
	ok(mask == NULL, "no mask");
	clear(&w);
	clear(&reference);
}

/* Several threads on one mask. */
struct task {
	const struct world *world;
	const struct lm_mask *mask;
	const uint8_t *wanted;
	bool same;
};

static void *fill_in_thread(void *context)
{
	struct task *task = context;

	for (int i = 0; i < 3; i++) {
		uint8_t *base = filled(task->world, task->mask, 0, 36 * 5);

		task->same = (i == 0 || task->same) && memcmp(base, task->wanted, 21600) == 0;
		free(base);
	}
	return NULL;
}

static void test_threads(void)
{
	static const uint64_t shape[] = { 20, 30, 3, 3 };
	struct world w = { 0 };
	struct task tasks[4];
	pthread_t threads[4];
	struct lm_mask *mask;
	uint8_t *wanted;

	add(&w, "t", "F32", LM_UNIT_SLICE, 4, shape, RULE_SHARE, 50);
	fill_normal(&w, 0, 0, 3);
	mask = mask_with(&w, "key", 1);
	wanted = filled(&w, mask, 0, 21600);
	for (size_t i = 0; i < 4; i++) {
		tasks[i] = (struct task){ &w, mask, wanted, false };
		if (pthread_create(&threads[i], NULL, fill_in_thread, &tasks[i]) != 0)
			abort();
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		ok(tasks[i].same, "thread %zu", i);
	}
	free(wanted);
	lm_mask_free(mask);
	clear(&w);
}

int main(void)
{
	need(lm_crypto_init(NULL), &(struct lmodel_error)LMODEL_ERROR_INIT);
	test_laws();
	test_methods();
	test_threads();
	return done();
}
