/* The stack machine that a pickle is a program of: memory, stack, memo. For pickle.c alone. */
#ifndef LM_PICKLE_MACHINE_H
#define LM_PICKLE_MACHINE_H

#include "import/pickle.h"

struct lm_pickle_block {
	struct lm_pickle_block *next;
	size_t used, size;
	_Alignas(16) uint8_t bytes[];
};

struct lm_pickle {
	struct lm_pickle_block *blocks; /* all that values hold */
	struct lm_pickle_value *root;
};

struct lm_pickle_machine {
	struct lm_pickle *pickle;
	struct lm_window *in;
	const struct lm_pickle_name *names;
	struct lm_pickle_value **stack;
	size_t depth, stack_capacity;
	size_t *marks;           /* heights of the stack */
	size_t mark_count, mark_capacity;
	struct lm_pickle_value **memo;
	size_t memo_count, memo_capacity; /* count: one above the highest index in use */
	size_t values, items;
	uint64_t op_at;
	struct lmodel_error *error;       /* never NULL */
};

/* Functions that give an int: LMODEL_OK, or the code that is in `error`. Pointers: NULL then. */
void *lm_pm_take(struct lm_pickle_machine *m, size_t size);
int lm_pm_bad(const struct lm_pickle_machine *m, const char *what);
struct lm_pickle_value *lm_pm_make(struct lm_pickle_machine *m, enum lm_pickle_kind kind);

/* Room for `more` items behind those that a container has. */
int lm_pm_reserve(struct lm_pickle_machine *m, struct lm_pickle_value *v, size_t more);

/* `v` NULL: the failure that made it so. */
int lm_pm_push(struct lm_pickle_machine *m, struct lm_pickle_value *v);
struct lm_pickle_value *lm_pm_pop(struct lm_pickle_machine *m);
struct lm_pickle_value *lm_pm_top(struct lm_pickle_machine *m);
int lm_pm_mark(struct lm_pickle_machine *m);

/* Push a value that is read from the pickle. */
int lm_pm_number(struct lm_pickle_machine *m, enum lm_pickle_kind kind, int64_t number);
int lm_pm_long(struct lm_pickle_machine *m, uint64_t len);
int lm_pm_float(struct lm_pickle_machine *m);
int lm_pm_text(struct lm_pickle_machine *m, uint64_t len, enum lm_pickle_kind kind);

/* Push a container of the last `count` values, or of all above the last mark. */
int lm_pm_items(struct lm_pickle_machine *m, enum lm_pickle_kind kind, size_t count);
int lm_pm_marked(struct lm_pickle_machine *m, enum lm_pickle_kind kind);

/* Append the last `count` values, or all above the last mark, to the container below them. */
int lm_pm_extend(struct lm_pickle_machine *m, enum lm_pickle_kind kind, size_t count);
int lm_pm_extend_marked(struct lm_pickle_machine *m, enum lm_pickle_kind kind);

int lm_pm_put(struct lm_pickle_machine *m, uint64_t index);
int lm_pm_get(struct lm_pickle_machine *m, uint64_t index);

#endif
