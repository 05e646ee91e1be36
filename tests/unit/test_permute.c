/* base/permute.c, against an index by index copy. */
#include "base/permute.h"

#include <sys/mman.h>

#include "base/io.h"
#include "lib/tap.h"

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
	state = state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)state * below) >> 32);
}

static int file_with(const void *bytes, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || (len > 0 && lm_write_at(fd, "t", bytes, len, 0, NULL) != LMODEL_OK))
		abort();
	return fd;
}

/* The element of the input at output element `n`. */
static uint64_t source_of(const struct lm_permutation *p, uint64_t n)
{
	uint64_t index[LM_PERMUTE_RANK], at = 0;

	for (unsigned i = p->rank; i-- > 0;) {
		uint64_t length = p->shape[p->axes[i]];

		index[p->axes[i]] = n % length;
		n /= length;
	}
	for (unsigned i = 0; i < p->rank; i++)
		at = at * p->shape[i] + index[i];
	return at;
}

/* Permutes and undoes; true when both are right and nothing else was written. */
static bool works(const struct lm_permutation *p)
{
	uint64_t n = 1, out_shape[LM_PERMUTE_RANK];
	uint8_t inverse[LM_PERMUTE_RANK];
	struct lm_permutation back = *p;
	uint8_t *in, *out, *again;
	size_t bytes;
	bool right = true;
	int a, b, c;

	for (unsigned i = 0; i < p->rank; i++) {
		n *= p->shape[i];
		out_shape[i] = p->shape[p->axes[i]];
	}
	bytes = (size_t)n * p->width;
	in = malloc(bytes + 7);
	out = calloc(1, bytes + 16);
	again = malloc(bytes + 16);
	for (size_t i = 0; i < bytes + 7; i++)
		in[i] = (uint8_t)(1 + draw(255));
	a = file_with(in, bytes + 7);
	b = file_with("", 0);
	c = file_with("", 0);
	lm_permutation_inverse(p->rank, p->axes, inverse);
	back.shape = out_shape;
	back.axes = inverse;
	if (lm_permute_file(p, a, "a", 7, b, "b", 5, NULL) != LMODEL_OK ||
	    lm_permute_file(&back, b, "b", 5, c, "c", 3, NULL) != LMODEL_OK)
		right = false;
	if (bytes > 0 && (lm_read_at(b, "b", out, bytes + 5, 0, NULL) != LMODEL_OK ||
			  lm_read_at(c, "c", again, bytes + 3, 0, NULL) != LMODEL_OK))
		right = false;
	for (uint64_t i = 0; i < n && right; i++)
		right = memcmp(out + 5 + i * p->width, in + 7 + source_of(p, i) * p->width,
			       p->width) == 0;
	right = right && memcmp(again + 3, in + 7, bytes) == 0 &&
		memcmp(out, "\0\0\0\0", 5) == 0;
	close(a);
	close(b);
	close(c);
	free(in);
	free(out);
	free(again);
	return right;
}

static void test_drawn(void)
{
	static const size_t widths[] = { 1, 2, 4, 8, 3, 16 };
	static const size_t memories[] = { 0, 1, 40, 700 };
	unsigned wrong = 0, count = 0;

	for (; count < 400; count++) {
		uint64_t shape[6];
		uint8_t axes[6];
		struct lm_permutation p = { .rank = draw(7), .shape = shape, .axes = axes };

		p.width = widths[draw(LM_COUNT(widths))];
		p.memory = memories[draw(LM_COUNT(memories))];
		for (unsigned i = 0; i < p.rank; i++) {
			unsigned k = draw(i + 1);

			shape[i] = draw(20) == 0 ? 0 : 1 + draw(6);
			axes[i] = axes[k];
			axes[k] = (uint8_t)i;
		}
		wrong += !works(&p);
	}
	is_int(wrong, 0, "drawn shapes and orders, in little memory and in much");
}

static void test_large(void)
{
	static const struct { uint64_t shape[3]; uint8_t axes[3]; size_t memory; } cases[] = {
		{ { 900, 1, 1100 }, { 2, 1, 0 }, 65536 },
		{ { 2, 700, 600 }, { 2, 1, 0 }, 1000 },
		{ { 500, 40, 41 }, { 1, 0, 2 }, 5000 },
		{ { 300000, 2, 3 }, { 2, 1, 0 }, 100000 },
	};

	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		const struct lm_permutation p = { .rank = 3, .shape = cases[i].shape,
						  .axes = cases[i].axes, .width = 4,
						  .memory = cases[i].memory };

		ok(works(&p), "%ju x %ju x %ju", (uintmax_t)p.shape[0], (uintmax_t)p.shape[1],
		   (uintmax_t)p.shape[2]);
	}
}

static void test_axes(void)
{
	static const uint8_t good[] = { 2, 0, 1 }, twice[] = { 0, 0, 1 }, beyond[] = { 0, 1, 3 };
	static const uint8_t order[] = { 2, 1, 0 };
	static const uint64_t vector[] = { 1, 5, 1 }, matrix[] = { 2, 5, 1 }, none[] = { 2, 5, 0 };

	ok(lm_permutation_valid(3, good) && lm_permutation_valid(0, good), "an order of axes");
	ok(!lm_permutation_valid(3, twice), "an axis twice");
	ok(!lm_permutation_valid(3, beyond), "an axis that is none");
	ok(lm_permutation_idle(3, vector, order), "one axis of more than one element");
	ok(!lm_permutation_idle(3, matrix, order), "two change places");
	ok(lm_permutation_idle(3, none, order), "nothing to move");
}

static void test_short(void)
{
	static const uint64_t shape[] = { 3, 4 };
	static const uint8_t axes[] = { 1, 0 };
	const struct lm_permutation p = { .rank = 2, .shape = shape, .axes = axes, .width = 4 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int in = file_with("too short", 9), out = file_with("", 0);

	is_int(lm_permute_file(&p, in, "'in'", 0, out, "'out'", 0, &error), LMODEL_ECORRUPT,
	       "a file that ends before");
	is_error(&error, LMODEL_ECORRUPT, "'in': truncated", "is named");
	close(in);
	close(out);
}

int main(void)
{
	test_axes();
	test_drawn();
	test_large();
	test_short();
	return done();
}
