#include "import/pickle_machine.h"

enum {
	BLOCK = 65536,           /* of the arena */
	VALUES_LIMIT = 1 << 22,  /* values of a pickle */
	ITEMS_LIMIT = 1 << 24,   /* in all containers */
	STACK_LIMIT = 1 << 20,
	MEMO_LIMIT = 1 << 22,
	TEXT_LIMIT = 1 << 24,    /* bytes of one string */
};

/* ---- memory ---- */

void *lm_pm_take(struct lm_pickle_machine *m, size_t size)
{
	struct lm_pickle_block *b = m->pickle->blocks;

	size = (size + 15) & ~(size_t)15;
	if (b == NULL || size > b->size - b->used) {
		size_t room = LM_MAX(size, (size_t)BLOCK);

		b = malloc(sizeof(*b) + room);
		if (b == NULL) {
			lm_fail_memory(m->error);
			return NULL;
		}
		*b = (struct lm_pickle_block){ .next = m->pickle->blocks, .size = room };
		m->pickle->blocks = b;
	}
	b->used += size;
	return b->bytes + b->used - size;
}

int lm_pm_bad(const struct lm_pickle_machine *m, const char *what)
{
	return lm_fail(m->error, LMODEL_ECORRUPT, "%s: pickle at %ju: %s", m->in->label,
		       (uintmax_t)m->op_at, what);
}

static int limit(const struct lm_pickle_machine *m, const char *what, size_t most)
{
	return lm_fail(m->error, LMODEL_ELIMIT, "%s: pickle at %ju: over %zu %s", m->in->label,
		       (uintmax_t)m->op_at, most, what);
}

struct lm_pickle_value *lm_pm_make(struct lm_pickle_machine *m, enum lm_pickle_kind kind)
{
	struct lm_pickle_value *v;

	if (++m->values > VALUES_LIMIT) {
		limit(m, "values", VALUES_LIMIT);
		return NULL;
	}
	v = lm_pm_take(m, sizeof(*v));
	if (v != NULL)
		*v = (struct lm_pickle_value){ .kind = kind };
	return v;
}

/* Room for `more` items behind those that a value has. What it had before is left to the arena. */
int lm_pm_reserve(struct lm_pickle_machine *m, struct lm_pickle_value *v, size_t more)
{
	size_t wanted = v->items.count + more, capacity = LM_MAX(2 * v->items.capacity, wanted);
	struct lm_pickle_value **at;

	m->items += more;
	if (m->items > ITEMS_LIMIT)
		return limit(m, "items of containers", ITEMS_LIMIT);
	if (wanted <= v->items.capacity)
		return LMODEL_OK;
	at = lm_pm_take(m, capacity * sizeof(*at));
	if (at == NULL)
		return LMODEL_EFAILED;
	if (v->items.count > 0)
		memcpy(at, v->items.at, v->items.count * sizeof(*at));
	v->items.at = at;
	v->items.capacity = capacity;
	return LMODEL_OK;
}

/* ---- the stack ---- */

int lm_pm_push(struct lm_pickle_machine *m, struct lm_pickle_value *v)
{
	if (v == NULL)
		return (int)m->error->code;
	if (m->depth == STACK_LIMIT)
		return limit(m, "values on the stack", STACK_LIMIT);
	if (lm_grow(&m->stack, m->depth, &m->stack_capacity, sizeof(struct lm_pickle_value *),
		    m->error))
		return LMODEL_EFAILED;
	m->stack[m->depth++] = v;
	return LMODEL_OK;
}

/* How many values lie above the last mark. */
static size_t above(const struct lm_pickle_machine *m)
{
	return m->depth - (m->mark_count > 0 ? m->marks[m->mark_count - 1] : 0);
}

struct lm_pickle_value *lm_pm_pop(struct lm_pickle_machine *m)
{
	if (above(m) == 0) {
		lm_pm_bad(m, "the stack is empty");
		return NULL;
	}
	return m->stack[--m->depth];
}

struct lm_pickle_value *lm_pm_top(struct lm_pickle_machine *m)
{
	if (above(m) == 0) {
		lm_pm_bad(m, "the stack is empty");
		return NULL;
	}
	return m->stack[m->depth - 1];
}

int lm_pm_mark(struct lm_pickle_machine *m)
{
	if (m->mark_count == STACK_LIMIT)
		return limit(m, "marks", STACK_LIMIT);
	if (lm_grow(&m->marks, m->mark_count, &m->mark_capacity, sizeof(size_t), m->error))
		return LMODEL_EFAILED;
	m->marks[m->mark_count++] = m->depth;
	return LMODEL_OK;
}

/* Takes the values above the last mark: `*count` of them, at the returned place of the stack until
 * the next push. */
static int pop_mark(struct lm_pickle_machine *m, struct lm_pickle_value ***first, size_t *count)
{
	if (m->mark_count == 0)
		return lm_pm_bad(m, "there is no mark");
	*count = above(m);
	m->depth = m->marks[--m->mark_count];
	*first = m->depth + *count == 0 ? NULL : m->stack + m->depth;
	return LMODEL_OK;
}

/* ---- values ---- */

int lm_pm_number(struct lm_pickle_machine *m, enum lm_pickle_kind kind, int64_t number)
{
	struct lm_pickle_value *v = lm_pm_make(m, kind);

	if (v != NULL)
		v->number = number;
	return lm_pm_push(m, v);
}

/* Little-endian, two's complement, any length. */
int lm_pm_long(struct lm_pickle_machine *m, uint64_t len)
{
	struct lm_pickle_value *v;
	uint8_t bytes[8] = { 0 };
	uint64_t number;
	int r;

	if (len > 8) {
		v = lm_pm_make(m, LM_PICKLE_INT);
		r = lm_window_skip(m->in, len, m->error);
		if (r != LMODEL_OK)
			return r;
		if (v != NULL)
			v->wide = true;
		return lm_pm_push(m, v);
	}
	r = lm_window_take(m->in, bytes, (size_t)len, m->error);
	if (r != LMODEL_OK)
		return r;
	if (len > 0 && (bytes[len - 1] & 0x80) != 0)
		memset(bytes + len, 0xff, 8 - (size_t)len);
	number = lm_get_u64(bytes);
	return lm_pm_number(m, LM_PICKLE_INT, (int64_t)number);
}

int lm_pm_float(struct lm_pickle_machine *m)
{
	struct lm_pickle_value *v = lm_pm_make(m, LM_PICKLE_FLOAT);
	uint8_t bytes[8], turned[8];
	uint64_t bits;
	int r = lm_window_take(m->in, bytes, sizeof(bytes), m->error);

	if (r != LMODEL_OK)
		return r;
	for (size_t i = 0; i < 8; i++)
		turned[i] = bytes[7 - i];
	bits = lm_get_u64(turned);
	if (v != NULL)
		memcpy(&v->real, &bits, sizeof(bits));
	return lm_pm_push(m, v);
}

int lm_pm_text(struct lm_pickle_machine *m, uint64_t len, enum lm_pickle_kind kind)
{
	struct lm_pickle_value *v;
	int r;

	if (len > TEXT_LIMIT)
		return limit(m, "bytes in a string", TEXT_LIMIT);
	if (len > m->in->size - m->in->at)
		return lm_pm_bad(m, "a string is cut short");
	v = lm_pm_make(m, kind);
	if (v != NULL)
		v->text.bytes = lm_pm_take(m, (size_t)len + 1);
	if (v == NULL || v->text.bytes == NULL)
		return (int)m->error->code;
	v->text.len = (size_t)len;
	v->text.bytes[len] = '\0';
	r = lm_window_take(m->in, v->text.bytes, (size_t)len, m->error);
	if (r != LMODEL_OK)
		return r;
	if (kind == LM_PICKLE_TEXT && !lm_utf8_valid(v->text.bytes, v->text.len))
		return lm_pm_bad(m, "a string is not UTF-8");
	return lm_pm_push(m, v);
}

int lm_pm_items(struct lm_pickle_machine *m, enum lm_pickle_kind kind, size_t count)
{
	struct lm_pickle_value *v;

	if (above(m) < count)
		return lm_pm_bad(m, "the stack is empty");
	v = lm_pm_make(m, kind);
	if (v == NULL || lm_pm_reserve(m, v, count) != LMODEL_OK)
		return (int)m->error->code;
	m->depth -= count;
	if (count > 0)
		memcpy(v->items.at, m->stack + m->depth, count * sizeof(*v->items.at));
	v->items.count = count;
	return lm_pm_push(m, v);
}

int lm_pm_marked(struct lm_pickle_machine *m, enum lm_pickle_kind kind)
{
	struct lm_pickle_value **first = NULL;
	size_t count = 0;
	int r = pop_mark(m, &first, &count);

	if (r != LMODEL_OK)
		return r;
	m->depth += count;
	if (kind == LM_PICKLE_DICT && count % 2 != 0)
		return lm_pm_bad(m, "a key has no value");
	return lm_pm_items(m, kind, count);
}

/* Appends values that lie on the stack, or were just taken off it, to the value below them. */
static int extend(struct lm_pickle_machine *m, enum lm_pickle_kind kind,
		  struct lm_pickle_value **first, size_t count)
{
	struct lm_pickle_value *v = lm_pm_top(m);

	if (v == NULL)
		return LMODEL_ECORRUPT;
	if (v->kind != kind || (kind == LM_PICKLE_DICT && count % 2 != 0))
		return lm_pm_bad(m, kind == LM_PICKLE_DICT ? "sets items of what is no dict" :
						       "appends to what is no list");
	if (lm_pm_reserve(m, v, count) != LMODEL_OK)
		return (int)m->error->code;
	if (count > 0)
		memcpy(v->items.at + v->items.count, first, count * sizeof(*first));
	v->items.count += count;
	return LMODEL_OK;
}

int lm_pm_extend(struct lm_pickle_machine *m, enum lm_pickle_kind kind, size_t count)
{
	if (above(m) < count)
		return lm_pm_bad(m, "the stack is empty");
	m->depth -= count;
	return extend(m, kind, m->stack + m->depth, count);
}

int lm_pm_extend_marked(struct lm_pickle_machine *m, enum lm_pickle_kind kind)
{
	struct lm_pickle_value **first = NULL;
	size_t count = 0;
	int r = pop_mark(m, &first, &count);

	return r == LMODEL_OK ? extend(m, kind, first, count) : r;
}

/* ---- the memo ---- */

int lm_pm_put(struct lm_pickle_machine *m, uint64_t index)
{
	struct lm_pickle_value *v = lm_pm_top(m);

	if (v == NULL)
		return LMODEL_ECORRUPT;
	if (index >= MEMO_LIMIT)
		return limit(m, "memos", MEMO_LIMIT);
	if (index >= m->memo_capacity) {
		size_t capacity = LM_MAX(2 * m->memo_capacity, (size_t)index + 64);
		struct lm_pickle_value **memo = realloc(m->memo, capacity * sizeof(*memo));

		if (memo == NULL)
			return lm_fail_memory(m->error);
		memset(memo + m->memo_capacity, 0,
		       (capacity - m->memo_capacity) * sizeof(*memo));
		m->memo = memo;
		m->memo_capacity = capacity;
	}
	m->memo[index] = v;
	m->memo_count = LM_MAX(m->memo_count, (size_t)index + 1);
	return LMODEL_OK;
}

int lm_pm_get(struct lm_pickle_machine *m, uint64_t index)
{
	if (index >= m->memo_count || m->memo[index] == NULL)
		return lm_pm_bad(m, "there is no such memo");
	return lm_pm_push(m, m->memo[index]);
}
