/* JSON documents on standard output. Values are true names, not escaped ones. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* An object with "version": 1 first. */
json_t *json_document(void);

/* Adds a member or an item; takes the value over. Out of memory ends the program. */
void json_put(json_t *object, const char *key, json_t *value);
void json_push(json_t *array, json_t *value);

json_t *json_bool(bool value);
json_t *json_number(uint64_t value);

/* A text; NULL is null. Paths need not be UTF-8: what is not comes escaped. */
json_t *json_text(const char *text);

/* Prints the document and a newline, and frees it. */
void json_print(json_t *document);

/* The same piece by piece, for lists as long as a model has tensors: an item is freed before the next
 * one is made. Brackets that close, and those around members, are the caller's to print. */
void json_print_members(json_t *object, bool first); /* "a": 1, "b": 2 */
void json_print_list(const char *key);               /* , "key": [ */
void json_print_item(json_t *item, bool first);

#endif
