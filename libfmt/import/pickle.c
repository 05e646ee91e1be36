#include "import/pickle_machine.h"

enum { PROTOCOL_LIMIT = 5 };

/* ---- names and calls ---- */

static int push_global(struct lm_pickle_machine *m, const char *module, const char *name)
{
	struct lm_pickle_value *v;

	for (const struct lm_pickle_name *n = m->names; n->module != NULL; n++) {
		if (strcmp(module, n->module) != 0 ||
		    (n->name != NULL && strcmp(name, n->name) != 0))
			continue;
		v = lm_pm_make(m, LM_PICKLE_GLOBAL);
		if (v == NULL)
			return lm_pm_push(m, NULL);
		v->global.module = module;
		v->global.name = name;
		return lm_pm_push(m, v);
	}
	return lm_fail(m->error, LMODEL_EUNSUPPORTED,
		       "%s: the pickle wants %s of module %s; lmodel reads tensors, containers and "
		       "plain values, and runs nothing", m->in->label, LM_QUOTE(name),
		       LM_QUOTE(module));
}

/* A line of text, for GLOBAL. */
static char *read_line(struct lm_pickle_machine *m)
{
	char line[512];
	size_t len = 0;
	char *copy;

	for (;;) {
		uint8_t c;

		if (lm_window_u8(m->in, &c, m->error) != LMODEL_OK)
			return NULL;
		if (c == '\n')
			break;
		if (c == '\0' || len == sizeof(line) - 1) {
			lm_pm_bad(m, "a name is too long, or holds NUL");
			return NULL;
		}
		line[len++] = (char)c;
	}
	line[len] = '\0';
	if (!lm_utf8_valid(line, len)) {
		lm_pm_bad(m, "a name is not UTF-8");
		return NULL;
	}
	copy = lm_pm_take(m, len + 1);
	if (copy != NULL)
		memcpy(copy, line, len + 1);
	return copy;
}

static int global(struct lm_pickle_machine *m)
{
	char *module = read_line(m), *name = module == NULL ? NULL : read_line(m);

	if (name == NULL)
		return lm_pm_push(m, NULL);
	return push_global(m, module, name);
}

static int stack_global(struct lm_pickle_machine *m)
{
	struct lm_pickle_value *name = lm_pm_pop(m), *module = name == NULL ? NULL : lm_pm_pop(m);

	if (module == NULL)
		return LMODEL_ECORRUPT;
	if (name->kind != LM_PICKLE_TEXT || module->kind != LM_PICKLE_TEXT ||
	    strlen(name->text.bytes) != name->text.len ||
	    strlen(module->text.bytes) != module->text.len)
		return lm_pm_bad(m, "a name is no text");
	return push_global(m, module->text.bytes, name->text.bytes);
}

/* An OrderedDict is made by a call, and filled like a dict; with arguments it is made of pairs. */
static int ordered_dict(struct lm_pickle_machine *m, const struct lm_pickle_value *args)
{
	struct lm_pickle_value *v = lm_pm_make(m, LM_PICKLE_DICT), *pairs;

	if (v == NULL || args->items.count == 0)
		return lm_pm_push(m, v);
	pairs = args->items.at[0];
	if (args->items.count != 1 || pairs->kind != LM_PICKLE_LIST)
		return lm_pm_bad(m, "an OrderedDict of something else than pairs");
	if (lm_pm_reserve(m, v, 2 * pairs->items.count) != LMODEL_OK)
		return (int)m->error->code;
	for (size_t i = 0; i < pairs->items.count; i++) {
		const struct lm_pickle_value *pair = pairs->items.at[i];

		if ((pair->kind != LM_PICKLE_LIST && pair->kind != LM_PICKLE_TUPLE) ||
		    pair->items.count != 2)
			return lm_pm_bad(m, "an OrderedDict of something else than pairs");
		memcpy(v->items.at + 2 * i, pair->items.at, 2 * sizeof(*v->items.at));
	}
	v->items.count = 2 * pairs->items.count;
	return lm_pm_push(m, v);
}

static int reduce(struct lm_pickle_machine *m)
{
	struct lm_pickle_value *args = lm_pm_pop(m), *function = args == NULL ? NULL : lm_pm_top(m);

	if (function == NULL)
		return LMODEL_ECORRUPT;
	if (args->kind != LM_PICKLE_TUPLE || function->kind != LM_PICKLE_GLOBAL)
		return lm_pm_bad(m, "a call of what is no function");
	if (strcmp(function->global.module, "collections") == 0 &&
	    strcmp(function->global.name, "OrderedDict") == 0) {
		m->depth--;
		return ordered_dict(m, args);
	}
	m->stack[m->depth++] = args; /* where it was */
	return lm_pm_items(m, LM_PICKLE_CALL, 2);
}

/* The state of an OrderedDict is attributes (_metadata of a state_dict): not read. */
static int build(struct lm_pickle_machine *m)
{
	struct lm_pickle_value *state = lm_pm_pop(m), *v = state == NULL ? NULL : lm_pm_top(m);

	if (v == NULL)
		return LMODEL_ECORRUPT;
	if (v->kind != LM_PICKLE_DICT)
		return lm_fail(m->error, LMODEL_EUNSUPPORTED,
			       "%s: pickle at %ju: the state of an object that is no dict",
			       m->in->label, (uintmax_t)m->op_at);
	return LMODEL_OK;
}

/* ---- opcodes ---- */

/* An unsigned number of `bytes` bytes. */
static int argument(struct lm_pickle_machine *m, size_t bytes, uint64_t *out)
{
	uint8_t raw[8] = { 0 };
	int r = lm_window_take(m->in, raw, bytes, m->error);

	*out = r == LMODEL_OK ? lm_get_u64(raw) : 0;
	return r;
}

static int with_number(struct lm_pickle_machine *m, uint8_t op)
{
	static const struct { uint8_t op, bytes; } widths[] = {
		{ 'q', 1 }, { 'r', 4 }, { 'h', 1 }, { 'j', 4 }, { 'X', 4 }, { 0x8c, 1 },
		{ 0x8d, 8 }, { 'T', 4 }, { 'U', 1 }, { 'B', 4 }, { 'C', 1 }, { 0x8e, 8 },
		{ 0x8a, 1 }, { 0x8b, 4 }, { 'J', 4 }, { 'K', 1 }, { 'M', 2 }, { 0x95, 8 },
		{ 0x80, 1 },
	};
	uint64_t n = 0;
	size_t i;
	int r;

	for (i = 0; i < LM_COUNT(widths) && widths[i].op != op; i++)
		;
	if (i == LM_COUNT(widths))
		return lm_fail(m->error, LMODEL_EUNSUPPORTED,
			       "%s: pickle at %ju: opcode 0x%02x is not one of those that tensors "
			       "are saved with", m->in->label, (uintmax_t)m->op_at, op);
	r = argument(m, widths[i].bytes, &n);
	if (r != LMODEL_OK)
		return r;
	switch (op) {
	case 'q': case 'r': return lm_pm_put(m, n);                     /* BINPUT, LONG_BINPUT */
	case 'h': case 'j': return lm_pm_get(m, n);                     /* BINGET, LONG_BINGET */
	case 'X': case 0x8c: case 0x8d: return lm_pm_text(m, n, LM_PICKLE_TEXT);  /* BINUNICODE */
	case 'T': case 'U': return lm_pm_text(m, n, LM_PICKLE_BYTES);   /* BINSTRING, Python 2 */
	case 'B': case 'C': case 0x8e: return lm_pm_text(m, n, LM_PICKLE_BYTES);  /* BINBYTES */
	case 0x8a: case 0x8b: return lm_pm_long(m, n);                  /* LONG1, LONG4 */
	case 'J': return lm_pm_number(m, LM_PICKLE_INT, (int32_t)(uint32_t)n);    /* BININT */
	case 'K': case 'M': return lm_pm_number(m, LM_PICKLE_INT, (int64_t)n);
	case 0x95: return LMODEL_OK;                                   /* FRAME */
	default:                                                       /* PROTO */
		if (n > PROTOCOL_LIMIT)
			return lm_fail(m->error, LMODEL_EUNSUPPORTED, "%s: pickle protocol %ju",
				       m->in->label, (uintmax_t)n);
		return LMODEL_OK;
	}
}

static int step(struct lm_pickle_machine *m, uint8_t op)
{
	switch (op) {
	case '(': return lm_pm_mark(m);
	case 'N': return lm_pm_push(m, lm_pm_make(m, LM_PICKLE_NONE));
	case 0x88: return lm_pm_number(m, LM_PICKLE_BOOL, 1);
	case 0x89: return lm_pm_number(m, LM_PICKLE_BOOL, 0);
	case 'G': return lm_pm_float(m);
	case '}': return lm_pm_items(m, LM_PICKLE_DICT, 0);
	case ']': return lm_pm_items(m, LM_PICKLE_LIST, 0);
	case ')': return lm_pm_items(m, LM_PICKLE_TUPLE, 0);
	case 0x85: return lm_pm_items(m, LM_PICKLE_TUPLE, 1);
	case 0x86: return lm_pm_items(m, LM_PICKLE_TUPLE, 2);
	case 0x87: return lm_pm_items(m, LM_PICKLE_TUPLE, 3);
	case 't': return lm_pm_marked(m, LM_PICKLE_TUPLE);
	case 'l': return lm_pm_marked(m, LM_PICKLE_LIST);
	case 'd': return lm_pm_marked(m, LM_PICKLE_DICT);
	case 'a': return lm_pm_extend(m, LM_PICKLE_LIST, 1);
	case 'e': return lm_pm_extend_marked(m, LM_PICKLE_LIST);
	case 's': return lm_pm_extend(m, LM_PICKLE_DICT, 2);
	case 'u': return lm_pm_extend_marked(m, LM_PICKLE_DICT);
	case '0': return lm_pm_pop(m) == NULL ? LMODEL_ECORRUPT : LMODEL_OK;
	case '2': return lm_pm_push(m, lm_pm_top(m));
	case 0x94: return lm_pm_put(m, m->memo_count);
	case 'c': return global(m);
	case 0x93: return stack_global(m);
	case 'R': return reduce(m);
	case 'b': return build(m);
	case 'Q': return lm_pm_items(m, LM_PICKLE_PERSISTENT, 1);
	default: return with_number(m, op);
	}
}

static int run(struct lm_pickle_machine *m)
{
	for (;;) {
		uint8_t op;
		int r;

		m->op_at = m->in->at;
		r = lm_window_u8(m->in, &op, m->error);
		if (r == LMODEL_OK && op == '.')
			break;
		if (r == LMODEL_OK)
			r = step(m, op);
		if (r != LMODEL_OK)
			return r;
	}
	if (m->mark_count != 0 || m->depth != 1)
		return lm_pm_bad(m, "ends with something else than one value");
	m->pickle->root = m->stack[0];
	return LMODEL_OK;
}

/* ---- outside ---- */

int lm_pickle_read(struct lm_pickle **out, struct lm_window *in,
		   const struct lm_pickle_name *names, struct lmodel_error *error)
{
	struct lmodel_error why = LMODEL_ERROR_INIT;
	struct lm_pickle_machine m = {
		.pickle = calloc(1, sizeof(*m.pickle)), .in = in, .names = names, .error = &why,
	};
	int r = m.pickle == NULL ? lm_fail_memory(&why) : run(&m);

	free(m.stack);
	free(m.marks);
	free(m.memo);
	if (r != LMODEL_OK) {
		lm_pickle_free(m.pickle);
		return lm_fail(error, why.code, "%s", why.message);
	}
	*out = m.pickle;
	return LMODEL_OK;
}

struct lm_pickle_value *lm_pickle_root(const struct lm_pickle *pickle)
{
	return pickle->root;
}

void lm_pickle_free(struct lm_pickle *pickle)
{
	if (pickle == NULL)
		return;
	while (pickle->blocks != NULL) {
		struct lm_pickle_block *next = pickle->blocks->next;

		free(pickle->blocks);
		pickle->blocks = next;
	}
	free(pickle);
}

struct lm_pickle_value *lm_pickle_find(const struct lm_pickle_value *dict, const char *key)
{
	for (size_t i = 0; i + 1 < dict->items.count; i += 2)
		if (lm_pickle_is_text(dict->items.at[i], key))
			return dict->items.at[i + 1];
	return NULL;
}

bool lm_pickle_is_text(const struct lm_pickle_value *value, const char *text)
{
	return (value->kind == LM_PICKLE_TEXT || value->kind == LM_PICKLE_BYTES) &&
	       value->text.len == strlen(text) && memcmp(value->text.bytes, text,
							  value->text.len) == 0;
}

bool lm_pickle_is_call(const struct lm_pickle_value *value, const char *module, const char *name)
{
	return value->kind == LM_PICKLE_CALL &&
	       strcmp(value->items.at[0]->global.module, module) == 0 &&
	       strcmp(value->items.at[0]->global.name, name) == 0;
}
