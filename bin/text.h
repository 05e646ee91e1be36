/* Numbers, sizes and names as people read and write them. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct lmodel_tensor;

/* "1000", "95M", "1MiB", "2GB", in any case: as in coreutils, K, M, G, T and KiB ... are powers
 * of 1024, KB ... powers of 1000. */
bool text_parse_size(const char *text, uint64_t *bytes);

/* Decimal digits alone. */
bool text_parse_count(const char *text, uint64_t *count);

/* "4.9 MB", powers of 1000. These write to the buffer and give it. */
#define TEXT_HUMAN 32
const char *text_human(char *buffer, uint64_t bytes);

/* "1,234,567" */
#define TEXT_COUNT 32
const char *text_count(char *buffer, uint64_t count);

/* Part of whole: "66.7%", or "-" when the whole is nothing. */
#define TEXT_RATIO 32
const char *text_ratio(char *buffer, uint64_t part, uint64_t whole);

/* "s" unless there is one. */
const char *text_plural(uint64_t count);

/* printf into fresh memory. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Escaped (lmodel_escape()), in fresh memory. */
char *text_escape(const char *text);

/* Escaped. */
void text_print(FILE *out, const char *text);

/* Escaped, in quotes, cut to fit; for messages. The buffer lives as long as the block. */
#define TEXT_QUOTE_SIZE 512
#define TEXT_QUOTE(text) text_quote((char[TEXT_QUOTE_SIZE]){ 0 }, (text))
const char *text_quote(char *buffer, const char *text);

/* "[64,3,3,3]", in fresh memory. */
char *text_shape(const struct lmodel_tensor *tensor);

/* What follows the last slash. */
const char *text_base(const char *path);
bool text_ends(const char *text, const char *end);

/* The ending of `name`, as files of weights have one: ".safetensors", ".npz"; NULL for another. */
const char *text_weights_suffix(const char *name);

/* Escaped, cut to `width` columns or so, in fresh memory. */
char *text_cut(const char *text, size_t width);

/* For messages and headings: "standard input" for "-". Fresh memory, escaped. */
char *text_archive(const char *path);

#endif
