#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

int lm_grow(void *array, size_t count, size_t *capacity, size_t element,
	    struct lmodel_error *error)
{
	size_t wanted, bytes;
	void *grown;

	if (count < *capacity)
		return LMODEL_OK;
	wanted = *capacity < 8 ? 8 : *capacity + *capacity / 2;
	if (__builtin_mul_overflow(wanted, element, &bytes))
		return lm_fail_memory(error);
	grown = realloc(*(void **)array, bytes);
	if (grown == NULL)
		return lm_fail_memory(error);
	*(void **)array = grown;
	*capacity = wanted;
	return LMODEL_OK;
}

char *lm_format(struct lmodel_error *error, const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0) {
		lm_fail_memory(error);
		return NULL;
	}
	return text;
}

char *lm_strdup(const char *text, struct lmodel_error *error)
{
	char *copy = strdup(text);

	if (copy == NULL)
		lm_fail_memory(error);
	return copy;
}
