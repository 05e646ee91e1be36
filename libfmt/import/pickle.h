/* Python's pickle as plain values (pickletools.py in CPython describes the opcodes; PEP 307, 3154).
 * Nothing is executed: a callable is a name, which the caller allows or not, and a call becomes a
 * value that says so. */
#ifndef LM_PICKLE_H
#define LM_PICKLE_H

#include "import/window.h"

enum lm_pickle_kind {
	LM_PICKLE_NONE, LM_PICKLE_BOOL, LM_PICKLE_INT, LM_PICKLE_FLOAT,
	LM_PICKLE_TEXT,       /* str, valid UTF-8 */
	LM_PICKLE_BYTES,
	LM_PICKLE_TUPLE, LM_PICKLE_LIST,
	LM_PICKLE_DICT,       /* items: key, value, key, value ... */
	LM_PICKLE_GLOBAL,     /* a name of a module */
	LM_PICKLE_PERSISTENT, /* items[0]: what stands for an object elsewhere */
	LM_PICKLE_CALL,       /* items[0]: a GLOBAL, items[1]: its arguments, a TUPLE */
};

struct lm_pickle_value {
	enum lm_pickle_kind kind;
	bool wide;            /* INT: it does not fit 64 bits; `number` is meaningless */
	union {
		int64_t number;   /* BOOL, INT */
		double real;
		struct { char *bytes; size_t len; } text;  /* TEXT, BYTES; a NUL follows */
		struct { const char *module, *name; } global;
		struct { struct lm_pickle_value **at; size_t count, capacity; } items;
	};
};

/* One entry of the list of names that are allowed. `name` NULL: every name of the module. */
struct lm_pickle_name {
	const char *module, *name;
};

struct lm_pickle;

/* Reads one pickle, up to its STOP, from the window's place on. `names` ends with a NULL module.
 * A name beside them: EUNSUPPORTED, with the name. Values are the pickle's, and a value may be in
 * several places, or within itself: who walks them bounds depth and number. */
int lm_pickle_read(struct lm_pickle **out, struct lm_window *in,
		   const struct lm_pickle_name *names, struct lmodel_error *error) LM_MUST_CHECK;
struct lm_pickle_value *lm_pickle_root(const struct lm_pickle *pickle);
void lm_pickle_free(struct lm_pickle *pickle);

/* The value of a key of a DICT, or NULL. */
struct lm_pickle_value *lm_pickle_find(const struct lm_pickle_value *dict, const char *key);

bool lm_pickle_is_text(const struct lm_pickle_value *value, const char *text);
bool lm_pickle_is_call(const struct lm_pickle_value *value, const char *module, const char *name);

#endif
