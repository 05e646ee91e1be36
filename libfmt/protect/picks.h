/* Which units were selected, kept from the pass that found them for the passes that follow: no key
 * is computed twice. Some three bytes a selected unit: in memory at first, then in a file without a
 * name, encrypted under a key that nobody else has. */
#ifndef LM_PICKS_H
#define LM_PICKS_H

#include "base/base.h"

/* Units of a window at most. */
#define LM_PICKS_WINDOW 65536u

/* A unit whose tier was not known when its window was left. */
#define LM_PICK_OPEN 0xffu

/* The units of one window that are in a tier or may be, ascending. */
struct lm_pick_list {
	size_t count, capacity;
	uint16_t *at;            /* from the window's first unit on */
	uint8_t *tier;           /* or LM_PICK_OPEN: */
	size_t key_count, key_capacity;
	uint64_t *keys;          /* of those, in their order */
	uint8_t *packed;         /* scratch */
	size_t packed_capacity;
};

/* What was kept of a window. Zeroed at first; what it points to stays until it is used again. */
struct lm_picked {
	size_t count, key_count;
	const uint16_t *at;
	const uint8_t *tier;
	const uint64_t *keys;
	uint8_t *bytes;          /* where they are not in memory already */
	size_t capacity;
};
void lm_picked_free(struct lm_picked *picked); /* what it holds */

/* Empties the list, and makes room for all units of a window of `units`. */
int lm_pick_list_begin(struct lm_pick_list *list, size_t units, struct lmodel_error *error)
	LM_MUST_CHECK;
static inline void lm_pick_list_add(struct lm_pick_list *list, size_t at, uint8_t tier)
{
	list->at[list->count] = (uint16_t)at;
	list->tier[list->count++] = tier;
}
/* Of a unit that was added as open. */
int lm_pick_list_add_key(struct lm_pick_list *list, uint64_t key, struct lmodel_error *error)
	LM_MUST_CHECK;
void lm_pick_list_free(struct lm_pick_list *list); /* what it holds */

struct lm_picks;

/* For `tensors` tensors. `directory` is where the file will be, if one is needed (NULL: as in
 * lm_unnamed_file()); it is borrowed. NULL on failure. */
struct lm_picks *lm_picks_new(size_t tensors, const char *directory, struct lmodel_error *error);
void lm_picks_free(struct lm_picks *picks);

/* A tensor of `units` units will be kept, in windows of `window` units: all of them, until it is
 * dropped. Tensors may be begun, filled and read by several threads, each tensor begun before. */
int lm_picks_begin(struct lm_picks *picks, size_t tensor, uint64_t units, size_t window,
		   struct lmodel_error *error) LM_MUST_CHECK;
void lm_picks_drop(struct lm_picks *picks, size_t tensor);

/* The window's units, 0 when the tensor is not kept. */
size_t lm_picks_window(const struct lm_picks *picks, size_t tensor);
int lm_picks_put(struct lm_picks *picks, size_t tensor, uint64_t window,
		 struct lm_pick_list *list, struct lmodel_error *error) LM_MUST_CHECK;
int lm_picks_get(const struct lm_picks *picks, size_t tensor, uint64_t window,
		 struct lm_picked *picked, struct lmodel_error *error) LM_MUST_CHECK;

#endif
