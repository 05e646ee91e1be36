#include "codec/rans.h"

/* A byte below this share of all is escaped: 8 bits of frequency would make it too likely, and the
 * others too unlikely. */
#define RARE 400

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
static void share_slots(const uint32_t counts[256], size_t count, unsigned freq[256])
{
	unsigned sum = 0;

	for (size_t s = 0; s < 256; s++) {
		freq[s] = (unsigned)((uint64_t)counts[s] * LM_RANS_SLOTS / count);
		freq[s] += freq[s] == 0 && counts[s] > 0;
		sum += freq[s];
	}
	for (; sum < LM_RANS_SLOTS; sum++) {
		size_t best = 0;

		for (size_t s = 1; s < 256; s++)
			if (worth_more(counts[s], 2 * freq[s] + 1, counts[best],
				       2 * freq[best] + 1))
				best = s;
		freq[best]++;
	}
	for (; sum > LM_RANS_SLOTS; sum--) {
		size_t best = 256;

		for (size_t s = 0; s < 256; s++)
			if (freq[s] > 1 && (best == 256 ||
					    worth_more(counts[best], 2 * freq[best] - 1, counts[s],
						       2 * freq[s] - 1)))
				best = s;
		freq[best]--;
	}
}

/* Escapes bytes that are rare, where there are two or more of them. Their counts go to the most
 * frequent of them, which becomes the marker. */
static void escape_rare(struct lm_rans_model *m, uint32_t counts[256], size_t count)
{
	unsigned rare = 0;
	uint32_t sum = 0;

	for (unsigned s = 0; s < 256; s++) {
		if (counts[s] == 0 || (uint64_t)counts[s] * RARE >= count)
			continue;
		rare++;
		sum += counts[s];
		if (rare == 1 || counts[s] > counts[m->marker])
			m->marker = (uint8_t)s;
	}
	m->escapes = rare >= 2;
	if (!m->escapes)
		return;
	for (unsigned s = 0; s < 256; s++)
		if ((uint64_t)counts[s] * RARE < count)
			counts[s] = 0;
	counts[m->marker] = sum;
}

bool lm_rans_model(struct lm_rans_model *m, const uint32_t counts[256], size_t count)
{
	unsigned freq[256], start = 0, distinct = 0;
	uint32_t own[256];

	*m = (struct lm_rans_model){ 0 };
	memcpy(own, counts, sizeof(own));
	escape_rare(m, own, count);
	for (unsigned s = 0; s < 256; s++)
		distinct += own[s] > 0;
	if (distinct < 2)
		return false;
	share_slots(own, count, freq);
	for (unsigned s = 0; s < 256; s++) {
		if (freq[s] == 0)
			continue;
		m->first = start == 0 ? (uint8_t)s : m->first;
		m->last = (uint8_t)s;
		m->has_slots[s] = 1;
		m->freq[s] = (uint8_t)freq[s];
		m->start[s] = (uint8_t)start;
		start += freq[s];
	}
	for (unsigned s = 0; s < 256 && m->escapes; s++) {
		if (m->has_slots[s])
			continue;
		m->freq[s] = m->freq[m->marker];
		m->start[s] = m->start[m->marker];
	}
	return true;
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
