/* Which weights go into which tier, alone: what `lmodel pack --tier low=4% --tier high=8%` decides
 * before it writes anything.
 *
 *     choose MODEL
 *
 * Prints JSON: parameters, those chosen, seconds by the clock and of the processors. */
#include <stdio.h>
#include <time.h>

#include "crypto/crypto.h"
#include "protect/select.h"

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	static const struct lm_select_amount tiers[] = {
		{ .name = "low", .is_share = true, .share = 0.04 },
		{ .name = "high", .is_share = true, .share = 0.08 },
	};
	const struct lm_select_options options = {
		.method = LM_SELECT_PSS, .scope = LM_SCOPE_EQUAL, .tiers = tiers, .tier_count = 2,
		.key = { 1 },
	};
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { 0 };
	struct lm_model model = { 0 };
	struct lm_selection *selection;
	uint64_t units = 0, chosen = 0;
	double clock, cpu;

	if (argc != 2) {
		fprintf(stderr, "usage: choose MODEL\n");
		return 2;
	}
	if (lm_crypto_init(&error) || lm_import(&model, argv[1], NULL, &run, &error)) {
		fprintf(stderr, "choose: %s\n", error.message);
		return 1;
	}
	clock = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	if (lm_select(&selection, &model, NULL, &options, &run, &error)) {
		fprintf(stderr, "choose: %s\n", error.message);
		return 1;
	}
	clock = now(CLOCK_MONOTONIC) - clock;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	for (size_t i = 0; i < model.tensor_count; i++) {
		const struct lm_selected_tensor *t = lm_selection_of(selection, i);

		units += t->eligible ? t->units.count : 0;
		chosen += t->eligible ? t->upto[1] : 0;
	}
	printf("{\"units\": %ju, \"chosen\": %ju, \"seconds\": %.6f, \"cpu\": %.6f}\n",
	       (uintmax_t)units, (uintmax_t)chosen, clock, cpu);
	lm_selection_free(selection);
	lm_model_free(&model);
	return 0;
}
