/* The files of tests/vectors, for unit tests: fields of "in" and "out", and a call for each vector.
 * What is wrong in a file ends the test. */
#ifndef VECTORS_H
#define VECTORS_H

#include <jansson.h>

#include "base/base.h"
#include "lib/tap.h"

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value != NULL ? value : "";
}

static uint64_t number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		abort();
	return (uint64_t)json_integer_value(value);
}

__attribute__((unused))
static uint64_t number_at(const json_t *array, size_t index)
{
	return (uint64_t)json_integer_value(json_array_get(array, index));
}

__attribute__((unused))
static char *copy(const json_t *object, const char *name)
{
	char *value = lm_strdup(text(object, name), NULL);

	if (value == NULL)
		abort();
	return value;
}

static void *make(size_t count, size_t size)
{
	void *memory = calloc(count + 1, size);

	if (memory == NULL)
		abort();
	return memory;
}

/* In fresh memory, with a zero byte behind. */
static uint8_t *bytes(const json_t *object, const char *name, size_t *len)
{
	const char *hex = text(object, name);
	size_t n = strlen(hex) / 2;
	uint8_t *out = make(n, 1);

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			abort();
		out[i] = (uint8_t)byte;
	}
	if (len != NULL)
		*len = n;
	return out;
}

static void key(const json_t *object, const char *name, uint8_t out[32])
{
	size_t len;
	LM_FREE uint8_t *made = bytes(object, name, &len);

	if (len == 32)
		memcpy(out, made, 32);
	else if (len != 0)
		abort();
}

static bool is_hex(const uint8_t *made, size_t len, const json_t *out, const char *name)
{
	size_t wanted_len;
	LM_FREE uint8_t *wanted = bytes(out, name, &wanted_len);

	return len > 0 && wanted_len == len && memcmp(made, wanted, len) == 0;
}

static void vectors(const char *name, size_t least,
		    void (*check)(const char *name, const json_t *in, const json_t *out))
{
	const char *top = getenv("srcdir");
	LM_FREE char *path = lm_format(NULL, "%s/tests/vectors/%s", top != NULL ? top : ".", name);
	json_error_t problem;
	json_t *file = json_load_file(path, 0, &problem), *list = json_object_get(file, "vectors"), *v;
	size_t i;

	if (!ok(json_array_size(list) >= least, "%s has its vectors", name))
		printf("#   %s\n", problem.text);
	json_array_foreach(list, i, v) {
		LM_FREE char *title = lm_format(NULL, "%s: %s", name, text(v, "name"));

		check(title, json_object_get(v, "in"), json_object_get(v, "out"));
	}
	json_decref(file);
}

#endif
