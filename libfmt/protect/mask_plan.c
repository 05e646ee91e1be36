#include "protect/mask_state.h"

#include "base/pool.h"

enum { MATES = 8 }; /* tensors that a class takes its donors from */

/* Of a whole model: multiplications of a round of predictions (a second or two, on one processor)
 * and bytes kept of decoys drawn ahead. Tensors get them in order as long as they last. */
#define AHEAD_WORK (UINT64_C(1) << 32)
#define AHEAD_BYTES (UINT64_C(1) << 25)

/* ---- which base a tensor gets ---- */

static void classify(struct lm_mask *mask, enum lm_mask_method method, size_t tensor)
{
	const struct lm_selected_tensor *selected = lm_selection_of(mask->selection, tensor);
	struct lm_masked *masked = &mask->tensors[tensor];
	uint64_t most = 0;

	masked->base = LM_BASE_NONE;
	if (selected == NULL || !selected->eligible)
		return;
	for (size_t t = 0; t < LM_TIER_LIMIT; t++)
		most = LM_MAX(most, selected->upto[t]);
	lm_sample_init(&masked->sample, mask->key, mask->model, mask->selection, tensor);
	if (most == 0)
		return;
	if (method == LM_MASK_REFERENCE)
		masked->base = LM_BASE_REFERENCE;
	else if (method == LM_MASK_ZERO || most >= selected->units.count)
		masked->base = LM_BASE_ZERO; /* protected whole: nothing to look like */
	else
		masked->base = LM_BASE_DRAWN;
}

/* Decided before anything is drawn: it must not depend on which worker is the faster one. */
static void find_near(struct lm_mask *mask)
{
	uint64_t work = AHEAD_WORK, bytes = AHEAD_BYTES;

	for (size_t i = 0; i < mask->model->tensor_count; i++) {
		struct lm_masked *masked = &mask->tensors[i];
		uint64_t hidden = 0, some, kept;

		if (masked->base != LM_BASE_DRAWN)
			continue;
		for (size_t t = 0; t < LM_TIER_LIMIT; t++)
			hidden = LM_MAX(hidden, lm_selection_of(mask->selection, i)->upto[t]);
		if (!lm_ahead_cost(&masked->sample.units, hidden, &some, &kept) || some > work ||
		    kept > bytes)
			continue;
		masked->is_near = true;
		work -= some;
		bytes -= kept;
	}
}

static int compare_names(const void *a, const void *b, void *context)
{
	const struct lm_source_tensor *tensors = context;

	return strcmp(tensors[*(const size_t *)a].name, tensors[*(const size_t *)b].name);
}

/* The reference's tensor of that name; `by_name` is sorted. */
static int find_reference(const struct lm_mask *mask, const size_t *by_name, size_t tensor,
			  size_t *found, struct lmodel_error *error)
{
	const struct lm_source_tensor *ours = &mask->model->tensors[tensor], *theirs;
	size_t low = 0, high = mask->reference->tensor_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(mask->reference->tensors[by_name[middle]].name, ours->name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < mask->reference->tensor_count ? by_name[low] : 0;
	theirs = &mask->reference->tensors[*found];
	if (low == mask->reference->tensor_count || strcmp(theirs->name, ours->name) != 0)
		return lm_fail(error, LMODEL_EUSAGE, "the reference has no tensor %s",
			       LM_QUOTE(ours->name));
	if (theirs->dtype != ours->dtype || theirs->bytes != ours->bytes)
		return lm_fail(error, LMODEL_EUSAGE,
			       "tensor %s: %s, %ju bytes in the reference; %s, %ju bytes here",
			       LM_QUOTE(ours->name), theirs->dtype->name, (uintmax_t)theirs->bytes,
			       ours->dtype->name, (uintmax_t)ours->bytes);
	return LMODEL_OK;
}

static int find_references(struct lm_mask *mask, struct lmodel_error *error)
{
	LM_FREE size_t *by_name = NULL;
	size_t n;

	if (mask->reference == NULL)
		return lm_fail(error, LMODEL_EUSAGE, "no reference model to mask with");
	n = mask->reference->tensor_count;
	by_name = calloc(n + 1, sizeof(*by_name));
	if (by_name == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++)
		by_name[i] = i;
	qsort_r(by_name, n, sizeof(*by_name), compare_names, mask->reference->tensors);
	for (size_t i = 0; i < mask->model->tensor_count; i++) {
		struct lm_masked *masked = &mask->tensors[i];
		int r;

		if (masked->base != LM_BASE_REFERENCE)
			continue;
		r = find_reference(mask, by_name, i, &masked->reference, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

/* ---- donors of each tensor, several at once ---- */

struct sampling {
	struct lm_mask *mask;
	size_t next;
	struct lm_meter meter;
};

struct job {
	size_t tensor;
	struct lm_donors donors;
	struct lm_ahead ahead;
};

static int next_tensor(void *context, void *job, struct lmodel_error *error)
{
	struct sampling *sampling = context;

	(void)error;
	for (; sampling->next < sampling->mask->model->tensor_count; sampling->next++) {
		if (sampling->mask->tensors[sampling->next].base != LM_BASE_DRAWN)
			continue;
		((struct job *)job)->tensor = sampling->next++;
		return LMODEL_OK;
	}
	return LM_POOL_END;
}

static int sample_tensor(void *context, unsigned worker, void *work, struct lmodel_error *error)
{
	const struct sampling *sampling = context;
	struct job *job = work;
	const struct lm_masked *masked;
	int r;

	(void)worker;
	masked = &sampling->mask->tensors[job->tensor];
	r = lm_donors_sample(&job->donors, &masked->sample, error);
	if (r != LMODEL_OK || !masked->is_near || job->donors.components != 1 ||
	    (job->donors.form != LM_DONORS_VALUES && job->donors.form != LM_DONORS_SLICES))
		return r;
	r = lm_ahead_make(&job->ahead, &masked->sample, &job->donors, error);
	if (job->ahead.count != 0)
		lm_donors_free(&job->donors);
	return r;
}

static int take_donors(void *context, void *work, struct lmodel_error *error)
{
	struct sampling *sampling = context;
	struct job *job = work;
	struct lm_masked *masked = &sampling->mask->tensors[job->tensor];

	masked->own = job->donors;
	job->donors = (struct lm_donors){ 0 };
	masked->ahead = job->ahead;
	job->ahead = (struct lm_ahead){ 0 };
	if (masked->own.form != LM_DONORS_NONE)
		masked->donors = &masked->own;
	else
		lm_donors_free(&masked->own);
	return lm_meter_add(&sampling->meter, masked->sample.units.bytes, error);
}

static void release_job(void *work)
{
	lm_donors_free(&((struct job *)work)->donors);
	lm_ahead_free(&((struct job *)work)->ahead);
}

static int sample_all(struct lm_mask *mask, const struct lmodel_run *run,
		      struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(struct job),
		.next = next_tensor,
		.work = sample_tensor,
		.emit = take_donors,
		.release = release_job,
	};
	struct sampling sampling = { .mask = mask };
	uint64_t total = 0;

	for (size_t i = 0; i < mask->model->tensor_count; i++)
		if (mask->tensors[i].base == LM_BASE_DRAWN)
			total += mask->tensors[i].sample.units.bytes;
	if (total == 0)
		return LMODEL_OK;
	lm_meter_begin(&sampling.meter, run, total);
	return lm_pool_run(lm_pool_workers(run != NULL ? run->jobs : 0), &ops, &sampling, error);
}

/* ---- tensors with too few of their own ---- */

static const char *role_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? dot + 1 : name;
}

static bool is_of_class(const struct lm_mask *mask, const struct lm_class *class, size_t tensor)
{
	const struct lm_source_tensor *t = &mask->model->tensors[tensor];

	return t->dtype == class->dtype && t->rank == class->rank &&
	       strcmp(role_of(t->name), class->role) == 0;
}

/* The class's donors come from eligible tensors only: one that is not may be another name of a
 * protected one. */
static int fill_class(const struct lm_mask *mask, struct lm_class *class,
		      struct lmodel_error *error)
{
	LM_FREE struct lm_sample *mates = calloc(MATES, sizeof(*mates));
	size_t count = 0;

	if (mates == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < mask->model->tensor_count && count < MATES; i++) {
		const struct lm_selected_tensor *selected = lm_selection_of(mask->selection, i);

		if (selected == NULL || !selected->eligible || !is_of_class(mask, class, i))
			continue;
		if (mask->tensors[i].base == LM_BASE_NONE || mask->tensors[i].base == LM_BASE_DRAWN)
			mates[count++] = mask->tensors[i].sample;
	}
	return lm_donors_pool(&class->donors, mates, count, error);
}

/* NULL on failure. */
static struct lm_class *class_of(struct lm_mask *mask, size_t tensor, struct lmodel_error *error)
{
	const struct lm_source_tensor *t = &mask->model->tensors[tensor];
	struct lm_class *class;

	for (class = mask->classes; class != NULL; class = class->next)
		if (is_of_class(mask, class, tensor))
			return class;
	class = calloc(1, sizeof(*class));
	if (class == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	*class = (struct lm_class){ .dtype = t->dtype, .rank = t->rank, .role = role_of(t->name),
				 .next = mask->classes };
	mask->classes = class;
	return fill_class(mask, class, error) == LMODEL_OK ? class : NULL;
}

static int help_poor(struct lm_mask *mask, size_t tensor, struct lmodel_error *error)
{
	struct lm_masked *masked = &mask->tensors[tensor];
	const struct lm_class *class = class_of(mask, tensor, error);

	if (class == NULL)
		return error != NULL ? (int)error->code : LMODEL_EFAILED;
	masked->donors = &class->donors;
	if (class->donors.form != LM_DONORS_NONE)
		return LMODEL_OK;
	masked->donors = &masked->own;
	return lm_donors_default(&masked->own, &masked->sample, error);
}

int lm_mask_plan(struct lm_mask *mask, enum lm_mask_method method, const struct lmodel_run *run,
		 struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < mask->model->tensor_count; i++)
		classify(mask, method, i);
	if (method == LM_MASK_REFERENCE)
		return find_references(mask, error);
	find_near(mask);
	r = sample_all(mask, run, error);
	for (size_t i = 0; r == LMODEL_OK && i < mask->model->tensor_count; i++) {
		struct lm_masked *masked = &mask->tensors[i];

		if (masked->base != LM_BASE_DRAWN)
			continue;
		r = lm_sample_key(masked->key, mask->key, "lmodel decoy v1",
				  mask->model->tensors[i].name, error);
		if (r == LMODEL_OK && masked->donors == NULL && masked->ahead.count == 0)
			r = help_poor(mask, i, error);
	}
	return r;
}
