#include "codec/rans.h"

#include "codec/sample.h"
#include "codec/simd.h"

/* From here on tables of more than one class may pay. */
#define GROUPS_MIN 128

/* Sums are counted this much coarser. */
#define COARSE 16
#define BINS (LM_RANS_LANES * 255 / COARSE + 1)

#define TABLE_OVERHEAD 2 /* bytes of a class but for its frequencies */
#define TOGETHER 12      /* covariance of neighbours: this part of the variance */

/* The marker is the most frequent one of bytes that are rare, where there are two of them or more. */
static bool choose_marker(struct lm_rans_model *m, const uint32_t counts[256], uint32_t count)
{
	unsigned rare = 0;

	for (unsigned s = 0; s < 256; s++) {
		if (counts[s] == 0 || !lm_rans_is_rare(counts[s], count))
			continue;
		if (rare == 0 || counts[s] > counts[m->marker])
			m->marker = (uint8_t)s;
		rare++;
	}
	return rare >= 2;
}

static void find_ends(struct lm_rans_model *m)
{
	m->first = 255;
	m->last = 0;
	for (unsigned c = 0; c < m->classes; c++) {
		for (unsigned s = 0; s < 256; s++) {
			if (!m->of_class[c].has_slots[s])
				continue;
			m->first = LM_MIN(m->first, (uint8_t)s);
			m->last = LM_MAX(m->last, (uint8_t)s);
		}
	}
}

bool lm_rans_model(struct lm_rans_model *m, const uint32_t counts[256], uint32_t count)
{
	unsigned distinct = 0;
	uint64_t sum = 0;

	m->classes = 1;
	m->marker = 0;
	m->escapes = choose_marker(m, counts, count);
	for (unsigned s = 0; s < 256; s++) {
		distinct += counts[s] > 0;
		sum += (uint64_t)s * counts[s];
	}
	m->neutral = (uint8_t)(sum / count);
	if (distinct < 2)
		return false;
	lm_rans_class(&m->of_class[0], counts, count, m);
	find_ends(m);
	return true;
}

unsigned lm_rans_sum(const uint8_t group[LM_RANS_LANES])
{
	const uint64_t low = UINT64_C(0x00ff00ff00ff00ff);
	uint64_t sum = 0;

	/* Four sums of 16 bits: up to 16 * 255 each. */
	for (size_t i = 0; i < LM_RANS_LANES; i += 8) {
		uint64_t v = lm_get_u64(group + i);

		sum += (v & low) + (v >> 8 & low);
	}
	return (unsigned)(sum * UINT64_C(0x0001000100010001) >> 48);
}

/* Groups that are looked at: each with the sum of the one before it. */
struct pairs {
	const uint8_t *bytes;
	size_t count, step;
	uint16_t *before;
};

static size_t group_of(const struct pairs *p, size_t i)
{
	/* Anywhere among as many as `step`: data may be periodic. */
	return 1 + i * p->step + (size_t)(i * UINT64_C(0x9e3779b97f4a7c15) >> 32) % p->step;
}

/* Whether the sums of neighbours go together: a cheap look before the costly one. */
static bool go_together(const struct pairs *p)
{
	uint64_t sum = 0;
	int64_t mean, both = 0, own = 0;

	for (size_t i = 0; i < p->count; i++) {
		p->before[i] = (uint16_t)lm_rans_sum(p->bytes +
						     (group_of(p, i) - 1) * LM_RANS_LANES);
		sum += p->before[i];
	}
	mean = (int64_t)(sum / p->count);
	for (size_t i = 0; i < p->count; i++) {
		const uint8_t *group = p->bytes + group_of(p, i) * LM_RANS_LANES;
		int64_t before = p->before[i] - mean;

		both += before * ((int64_t)lm_rans_sum(group) - mean);
		own += before * before;
	}
	return both > own / TOGETHER;
}

/* Limits between as many sums each. Two may be the same. */
static void find_limits(const struct pairs *p, uint16_t limits[LM_RANS_CLASSES - 1])
{
	uint32_t bins[BINS] = { 0 };
	size_t seen = 0, k = 0;

	for (size_t i = 0; i < p->count; i++)
		bins[p->before[i] / COARSE]++;
	for (size_t b = 0; b < BINS; b++) {
		for (; k < LM_RANS_CLASSES - 1 && seen >= p->count * (k + 1) / LM_RANS_CLASSES; k++)
			limits[k] = (uint16_t)(b * COARSE);
		seen += bins[b];
	}
	for (; k < LM_RANS_CLASSES - 1; k++)
		limits[k] = (BINS - 1) * COARSE;
}

struct counts {
	uint32_t of[LM_RANS_CLASSES][256], sum[LM_RANS_CLASSES];
};

static void count_classes(struct counts *n, const uint16_t limits[LM_RANS_CLASSES - 1],
			  const struct pairs *p)
{
	uint32_t odd[LM_RANS_CLASSES][256] = { 0 };

	memset(n, 0, sizeof(*n));
	for (size_t i = 0; i < p->count; i++) {
		unsigned c = lm_rans_class_of(LM_RANS_CLASSES, limits, p->before[i]);
		const uint8_t *group = p->bytes + group_of(p, i) * LM_RANS_LANES;

		/* An increment need not wait for the one before. */
		for (size_t b = 0; b < LM_RANS_LANES; b += 2) {
			n->of[c][group[b]]++;
			odd[c][group[b + 1]]++;
		}
		n->sum[c] += LM_RANS_LANES;
	}
	for (unsigned c = 0; c < LM_RANS_CLASSES; c++)
		for (unsigned s = 0; s < 256; s++)
			n->of[c][s] += odd[c][s];
}

/* Joins each class with the next: half as many. */
static void halve(struct counts *n, uint16_t limits[LM_RANS_CLASSES - 1], unsigned classes)
{
	for (unsigned c = 0; c < classes / 2; c++) {
		for (unsigned s = 0; s < 256; s++)
			n->of[c][s] = n->of[2 * c][s] + n->of[2 * c + 1][s];
		n->sum[c] = n->sum[2 * c] + n->sum[2 * c + 1];
		if (c + 1 < classes / 2)
			limits[c] = limits[2 * c + 1];
	}
}

/* Bits that all groups take with so many classes, and their tables. */
static uint64_t cost(const struct counts *n, unsigned classes, size_t step, size_t table)
{
	uint64_t bits = 0;

	for (unsigned c = 0; c < classes; c++)
		if (n->sum[c] > 0)
			bits += lm_entropy_of_counts(n->of[c], 256, n->sum[c]) / LM_BIT;
	return bits * step + 8 * classes * (uint64_t)table;
}

/* Keeps the classes that something was seen of. */
static void take_classes(struct lm_rans_model *m, const struct counts *n,
			 const uint16_t limits[LM_RANS_CLASSES - 1], unsigned classes)
{
	m->classes = 0;
	for (unsigned c = 0; c < classes; c++) {
		if (n->sum[c] == 0)
			continue;
		if (m->classes > 0)
			m->limits[m->classes - 1] = limits[c - 1];
		lm_rans_class(&m->of_class[m->classes++], n->of[c], n->sum[c], m);
	}
	find_ends(m);
}

/* The class of each group, by the bytes before it as a reader sees them: with markers. */
static void walk(const struct lm_rans_model *m, const uint8_t *bytes, size_t groups, uint8_t *class)
{
	class[0] = 0;
	for (size_t g = 0; g < groups; g++) {
		unsigned sum = lm_rans_weight(m->of_class[class[g]].weight, bytes);

		bytes += LM_RANS_LANES;
		class[g + 1] = (uint8_t)lm_rans_class_of(m->classes, m->limits, sum);
	}
}

uint64_t lm_rans_classify(struct lm_rans_model *m, const uint8_t *bytes, size_t count, size_t step,
			  struct lm_rans_scratch *scratch)
{
	size_t groups = count / LM_RANS_LANES, table = m->last - m->first + 1u + TABLE_OVERHEAD;
	struct pairs pairs = { .bytes = bytes, .step = step, .before = scratch->sums };
	uint16_t limits[LM_RANS_CLASSES - 1], kept[LM_RANS_CLASSES - 1];
	unsigned classes = LM_RANS_CLASSES, best = 1;
	struct counts n, best_counts;
	uint64_t least = UINT64_MAX, one;

	if (groups < GROUPS_MIN * step || !m->escapes)
		return 0;
	pairs.count = (groups - 1) / step;
	if (!go_together(&pairs))
		return 0;
	find_limits(&pairs, limits);
	count_classes(&n, limits, &pairs);
	for (; classes > 1; classes /= 2) {
		uint64_t bits = cost(&n, classes, step, table);

		if (bits < least) {
			least = bits;
			best = classes;
			best_counts = n;
			memcpy(kept, limits, sizeof(kept));
		}
		halve(&n, limits, classes);
	}
	one = cost(&n, 1, step, table);
	if (least >= one - one / 256)
		return 0;
	take_classes(m, &best_counts, kept, best);
#if defined(__x86_64__)
	if (lm_simd() >= LM_SIMD_AVX512) {
		lm_rans_walk_avx512(m, bytes, groups, scratch->class);
		return one;
	}
#endif
	walk(m, bytes, groups, scratch->class);
	return one;
}
