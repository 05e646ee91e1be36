/* archive/hidden.c: tiers' positions side by side, from streams in memory. */
#include "archive/hidden.h"

#include "lib/tap.h"

enum { UNIVERSE = 200000 };

struct memory {
	uint8_t bytes[400000];
	size_t len, at;
};

static struct memory memories[2];

static int put(void *context, const uint8_t *bytes, size_t len, struct lmodel_error *error)
{
	struct memory *m = context;

	(void)error;
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
	return LMODEL_OK;
}

static int get(void *context, uint8_t *buffer, size_t len, size_t *got, struct lmodel_error *error)
{
	struct memory *m = context;

	(void)error;
	*got = LM_MIN(len, m->len - m->at);
	memcpy(buffer, m->bytes + m->at, *got);
	m->at += *got;
	return LMODEL_OK;
}

/* Tier `tier` hides these units: an open stream of them, as lm_hidden_open() leaves it. */
static void hide(struct lm_hidden *h, size_t tier, const uint8_t *set)
{
	struct memory *m = &memories[tier];
	struct lm_positions_meter *meter = lm_positions_meter_new(UNIVERSE, 1000, NULL);
	struct lm_positions_writer *w;
	struct lm_positions_form form;
	struct lm_hidden_tier *t = &h->tier[tier];

	for (uint64_t i = 0; i < UNIVERSE; i++)
		if (set[i])
			lm_positions_meter_add(meter, i, 1);
	lm_positions_meter_finish(meter, &form);
	lm_positions_meter_free(meter);
	*m = (struct memory){ 0 };
	w = lm_positions_writer_new(&form, put, m, NULL);
	for (uint64_t i = 0; i < UNIVERSE; i++)
		if (set[i] && lm_positions_writer_add(w, i, 1, NULL))
			abort();
	if (lm_positions_writer_finish(w, NULL))
		abort();
	lm_positions_writer_free(w);
	t->shard = tier;
	t->reader = lm_positions_reader_new(UNIVERSE, get, m, NULL);
	if (t->reader == NULL || lm_positions_reader_next(t->reader, &t->first, &t->count, NULL))
		abort();
}

static uint8_t low[UNIVERSE], high[UNIVERSE], labels[UNIVERSE];

static void begin(struct lm_hidden *h)
{
	*h = (struct lm_hidden){ .units = { .count = UNIVERSE } };
	for (size_t i = 0; i < LM_TIER_ROW_LIMIT; i++)
		h->tier[i].shard = LM_NONE;
	hide(h, 0, low);
	hide(h, 1, high);
}

static unsigned wrong(uint64_t first, size_t n)
{
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++)
		bad += labels[i] != (low[first + i] ? 1 : high[first + i] ? 2 : 0);
	return bad;
}

static uint64_t count(const uint8_t *set)
{
	uint64_t n = 0;

	for (size_t i = 0; i < UNIVERSE; i++)
		n += set[i];
	return n;
}

static void test_sets(const char *name, uint64_t shared)
{
	static const size_t windows[] = { 1, 7, 1000, 65536, UNIVERSE };
	static struct lm_hidden h;
	unsigned bad = 0;
	uint64_t end = 0;
	int r = LMODEL_OK;

	for (uint64_t i = 0; i < UNIVERSE; i++)
		end = high[i] ? i + 1 : end;
	for (size_t w = 0; w < LM_COUNT(windows); w++) {
		begin(&h);
		for (uint64_t first = 0; first < UNIVERSE && r == LMODEL_OK; first += windows[w]) {
			size_t n = (size_t)LM_MIN((uint64_t)windows[w], UNIVERSE - first);

			r = lm_hidden_labels(&h, first, n, labels, NULL);
			bad += wrong(first, n);
		}
		bad += h.tier[0].units != count(low) || h.tier[1].units != count(high) ||
		       h.tier[0].shared + h.tier[1].shared != shared;
		lm_hidden_close(&h);
	}
	ok(r == LMODEL_OK && bad == 0, "%s: labels and counts, in windows of any size", name);

	/* With gaps between the windows, and to the end. */
	begin(&h);
	bad = 0;
	for (uint64_t first = 500; first + 300 < UNIVERSE / 2; first += 1700) {
		r |= lm_hidden_labels(&h, first, 300, labels, NULL);
		bad += wrong(first, 300);
	}
	r |= lm_hidden_finish(&h, NULL);
	ok(r == LMODEL_OK && bad == 0 && h.tier[0].units == count(low) &&
	   h.tier[1].units == count(high), "%s: what is skipped is counted", name);
	ok(h.tier[1].end == end, "%s: the last unit is known", name);
	lm_hidden_close(&h);

	begin(&h);
	r = lm_hidden_finish(&h, NULL);
	ok(r == LMODEL_OK && h.tier[0].shared == 0 && h.tier[1].shared == shared,
	   "%s: units in both tiers", name);
	lm_hidden_close(&h);
}

static uint64_t state = 88172645463325252u;

static bool chance(unsigned percent)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % 100 < percent;
}

int main(void)
{
	uint64_t shared = 0;

	for (size_t i = 0; i < UNIVERSE; i++) {
		low[i] = chance(4);
		high[i] = !low[i] && chance(10);
	}
	test_sets("apart", 0);
	for (size_t i = 0; i < UNIVERSE; i++) {
		low[i] = (i / 1000) % 3 == 0;
		high[i] = (i / 1500) % 2 == 0;
		shared += low[i] && high[i];
	}
	test_sets("overlapping runs", shared);
	memset(low, 1, sizeof(low));
	memset(high, 0, sizeof(high));
	test_sets("all and none", 0);
	high[UNIVERSE - 1] = 1;
	test_sets("all and the last", 1);
	return done();
}
