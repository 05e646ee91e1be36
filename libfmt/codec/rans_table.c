#include "codec/rans.h"

void lm_histogram(const uint8_t *bytes, size_t len, uint32_t counts[256])
{
	/* Neighbours count in tables of their own: an increment need not wait for the one before. */
	uint32_t part[4][256] = { 0 };
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t v = lm_get_u64(bytes + i);

		part[0][(uint8_t)v]++;
		part[1][(uint8_t)(v >> 8)]++;
		part[2][(uint8_t)(v >> 16)]++;
		part[3][(uint8_t)(v >> 24)]++;
		part[0][(uint8_t)(v >> 32)]++;
		part[1][(uint8_t)(v >> 40)]++;
		part[2][(uint8_t)(v >> 48)]++;
		part[3][(uint8_t)(v >> 56)]++;
	}
	for (; i < len; i++)
		part[0][bytes[i]]++;
	for (size_t s = 0; s < 256; s++)
		counts[s] += part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

/* Which of two bytes is worth one more slot, or one less: Sainte-Lague's rule, close to what the
 * length of the code says. `halves` is twice the frequency, plus or minus one. */
static bool worth_more(uint64_t count, unsigned halves, uint64_t other, unsigned other_halves)
{
	return count * other_halves > other * halves;
}

/* Frequencies that sum up to LM_RANS_SLOTS, none 0 where a count is not. */
static void share_slots(const uint32_t counts[256], uint32_t count, unsigned freq[256])
{
	unsigned sum = 0, n = 0;
	uint8_t present[256];

	for (unsigned s = 0; s < 256; s++) {
		freq[s] = 0;
		if (counts[s] == 0)
			continue;
		freq[s] = (unsigned)((uint64_t)counts[s] * LM_RANS_SLOTS / count);
		freq[s] += freq[s] == 0;
		sum += freq[s];
		present[n++] = (uint8_t)s;
	}
	for (; sum < LM_RANS_SLOTS; sum++) {
		unsigned best = present[0];

		for (unsigned i = 1; i < n; i++)
			if (worth_more(counts[present[i]], 2 * freq[present[i]] + 1, counts[best],
				       2 * freq[best] + 1))
				best = present[i];
		freq[best]++;
	}
	for (; sum > LM_RANS_SLOTS; sum--) {
		unsigned best = 256;

		for (unsigned i = 0; i < n; i++)
			if (freq[present[i]] > 1 &&
			    (best == 256 || worth_more(counts[best], 2 * freq[best] - 1,
						       counts[present[i]],
						       2 * freq[present[i]] - 1)))
				best = present[i];
		freq[best]--;
	}
}

void lm_rans_class(struct lm_rans_class *c, const uint32_t counts[256], uint32_t count,
		   const struct lm_rans_model *model)
{
	const bool escapes = model->escapes;
	const uint8_t marker = model->marker;
	uint32_t own[256], escaped = 0;
	unsigned freq[256], start = 0;

	*c = (struct lm_rans_class){ 0 };
	memcpy(own, counts, sizeof(own));
	for (unsigned s = 0; s < 256 && escapes; s++) {
		if (s != marker && !lm_rans_is_rare(own[s], count))
			continue;
		escaped += own[s];
		own[s] = 0;
	}
	/* Also where there is none of them now: another byte may come. */
	if (escapes) {
		count += escaped == 0;
		own[marker] = LM_MAX(escaped, UINT32_C(1));
	}
	share_slots(own, count, freq);
	for (unsigned s = 0; s < 256; s++) {
		c->value[s] = freq[s] == 0 && escapes ? marker : (uint8_t)s;
		c->weight[s] = c->value[s] == marker && escapes ? model->neutral : (uint8_t)s;
		c->has_slots[s] = freq[s] > 0;
		c->freq[s] = (uint8_t)freq[s];
		c->start[s] = (uint8_t)start;
		start += freq[s];
	}
	for (unsigned s = 0; s < 256 && escapes; s++) {
		c->freq[s] = c->freq[c->value[s]];
		c->start[s] = c->start[c->value[s]];
	}
}

bool lm_rans_slots(struct lm_rans_slots *slots, const uint8_t *freqs, size_t count, uint8_t first)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		if (freqs[i] > LM_RANS_SLOTS - at)
			return false;
		for (unsigned k = 0; k < freqs[i]; k++, at++) {
			slots->byte[at] = (uint8_t)(first + i);
			slots->freq[at] = freqs[i];
			slots->rank[at] = (uint8_t)k;
		}
	}
	return at == LM_RANS_SLOTS;
}

void lm_rans_weigh(struct lm_rans_tables *t, bool escapes, uint8_t marker, uint8_t neutral)
{
	for (unsigned s = 0; s < 256; s++)
		t->weight[s] = escapes && s == marker ? neutral : (uint8_t)s;
	for (unsigned c = 0; c < t->classes; c++)
		for (size_t slot = 0; slot < LM_RANS_SLOTS; slot++)
			t->of_class[c].weight[slot] = t->weight[t->of_class[c].byte[slot]];
}
