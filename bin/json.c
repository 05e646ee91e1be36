#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "text.h"

json_t *json_document(void)
{
	json_t *document = json_object();

	json_put(document, "version", json_number(1));
	return document;
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) != 0)
		message_no_memory();
}

void json_push(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) != 0)
		message_no_memory();
}

json_t *json_bool(bool value)
{
	return json_boolean(value);
}

/* jansson's integers are signed. Only a dimension beside a zero one can be larger. */
json_t *json_number(uint64_t value)
{
	return value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

json_t *json_text(const char *text)
{
	json_t *value = text != NULL ? json_string(text) : json_null();
	char *escaped;

	if (value != NULL)
		return value;
	escaped = text_escape(text);
	value = json_string(escaped);
	free(escaped);
	return value;
}

/* Takes the value over. */
static char *text_of(json_t *value)
{
	char *text = json_dumps(value, 0);

	if (text == NULL)
		message_no_memory();
	json_decref(value);
	return text;
}

void json_print(json_t *document)
{
	char *text = text_of(document);

	puts(text);
	free(text);
}

void json_print_members(json_t *object, bool first)
{
	char *text = text_of(object);
	int len = (int)strlen(text) - 2;

	if (len > 0)
		printf("%s%.*s", first ? "" : ", ", len, text + 1);
	free(text);
}

void json_print_list(const char *key)
{
	printf(", \"%s\": [", key);
}

void json_print_item(json_t *item, bool first)
{
	char *text = text_of(item);

	if (!first)
		fputs(", ", stdout);
	fputs(text, stdout);
	free(text);
}
