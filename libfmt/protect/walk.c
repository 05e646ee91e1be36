#include "protect/walk.h"

#include "base/pool.h"

/* Bytes of a window; larger units than this are not read here (see protect/whole.h). */
enum { WINDOW = 1 << 18 };

struct job {
	const struct lm_walk *walk;
	size_t part;
	uint64_t first;
	size_t n;
	size_t byte_capacity, key_capacity;
	uint8_t *bytes;
	uint64_t *keys;
	struct lm_keys_found found;
	void *result;
};

struct state {
	const struct lm_walk *walk;
	size_t part;
	uint64_t unit;
};

static size_t window_bytes(const struct lm_scorer *s, const struct job *j);

size_t lm_walk_window(const struct lm_scorer *s)
{
	if (!lm_scorer_needs_bytes(s))
		return LM_WALK_UNITS;
	return (size_t)LM_MIN(WINDOW / s->units->unit_bytes, (uint64_t)LM_WALK_UNITS);
}

/* Goes on by `units`, into the next tensors if need be. */
static void skip(struct state *state, uint64_t units)
{
	while (state->part < state->walk->count) {
		uint64_t left = state->walk->scorers[state->part]->units->count - state->unit;

		if (units < left) {
			state->unit += units;
			return;
		}
		units -= left;
		state->part++;
		state->unit = 0;
	}
}

/* Small sets come by the thousand: no more room than they need. */
static int make_room(struct job *j, size_t bytes, struct lmodel_error *error)
{
	if (bytes > j->byte_capacity) {
		free(j->bytes);
		j->byte_capacity = 0;
		j->bytes = malloc(bytes);
		if (j->bytes == NULL)
			return lm_fail_memory(error);
		j->byte_capacity = bytes;
	}
	if (j->walk->find == NULL && j->n > j->key_capacity) {
		free(j->keys);
		j->key_capacity = 0;
		j->keys = malloc(j->n * sizeof(*j->keys));
		if (j->keys == NULL)
			return lm_fail_memory(error);
		j->key_capacity = j->n;
	}
	return LMODEL_OK;
}

static int next_window(void *context, void *job, struct lmodel_error *error)
{
	struct state *state = context;
	const struct lm_walk *walk = state->walk;
	const struct lm_scorer *s;
	struct job *j = job;

	if (state->part == walk->count)
		return LM_POOL_END;
	s = walk->scorers[state->part];
	j->walk = walk;
	j->part = state->part;
	j->first = state->unit;
	j->n = (size_t)LM_MIN(s->units->count - state->unit, (uint64_t)lm_walk_window(s));
	if (walk->stride == 0) {
		skip(state, j->n);
	} else {
		j->n = LM_MIN(j->n, (size_t)LM_WALK_PIECE);
		skip(state, j->n + (walk->stride - 1) * LM_WALK_PIECE);
	}
	return make_room(j, s->bytes == NULL ? window_bytes(s, j) : 0, error);
}

/* Bytes that a window is about. */
static size_t window_bytes(const struct lm_scorer *s, const struct job *j)
{
	const uint64_t offset = j->first * s->units->unit_bytes;

	if (!lm_scorer_needs_bytes(s))
		return 0;
	return (size_t)LM_MIN(j->n * s->units->unit_bytes, s->units->bytes - offset);
}

static int visit_window(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	const struct state *state = context;
	const struct lm_walk *walk = state->walk;
	struct job *j = job;
	const struct lm_scorer *s = walk->scorers[j->part];
	const uint8_t *bytes = s->bytes == NULL ? j->bytes :
			       s->bytes + j->first * s->units->unit_bytes;
	int r = LMODEL_OK;

	if (s->bytes == NULL && lm_scorer_needs_bytes(s))
		r = lm_model_read(s->model, s->tensor, j->first * s->units->unit_bytes, j->bytes,
				  window_bytes(s, j), error);
	if (r == LMODEL_OK && walk->find != NULL) {
		r = lm_scorer_find(s, j->first, j->n, bytes, walk->least, &j->found, error);
		if (r == LMODEL_OK)
			r = walk->find(walk->context, worker, j->part, j->first, j->n, &j->found,
				       &j->result, error);
		return r;
	}
	if (r == LMODEL_OK)
		r = lm_scorer_keys(s, j->first, j->n, bytes, j->keys, error);
	if (r == LMODEL_OK)
		r = walk->visit(walk->context, worker, j->part, j->first, j->n, j->keys, &j->result,
				error);
	return r;
}

static int take_window(void *context, void *job, struct lmodel_error *error)
{
	const struct state *state = context;
	const struct lm_walk *walk = state->walk;
	struct job *j = job;
	int r = walk->take(walk->context, j->part, j->result, error);

	if (r == LMODEL_OK && walk->meter != NULL)
		r = lm_walk_progress(walk->meter, window_bytes(walk->scorers[j->part], j), error);
	return r;
}

static void release(void *job)
{
	struct job *j = job;

	free(j->bytes);
	free(j->keys);
	lm_keys_found_free(&j->found);
	if (j->result != NULL)
		j->walk->release(j->result);
}

int lm_walk(const struct lm_walk *walk, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(struct job), .next = next_window, .work = visit_window,
		.emit = take_window, .release = release,
	};
	struct state state = { .walk = walk };

	return lm_pool_run(walk->workers, &ops, &state, error);
}

int lm_walk_progress(struct lm_meter *meter, uint64_t bytes, struct lmodel_error *error)
{
	return lm_meter_add(meter, LM_MIN(bytes, meter->total - meter->done), error);
}
