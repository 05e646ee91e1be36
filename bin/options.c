#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

/* getopt_long() gives this plus the index of the row for a long option. */
#define LONG_BASE 256

#define LINE_WIDTH 79

bool options_help;

/* ---- values ---- */

const char *option_flag(void *value, const char *argument)
{
	(void)argument;
	*(bool *)value = true;
	return NULL;
}

const char *option_text(void *value, const char *argument)
{
	*(const char **)value = argument;
	return argument[0] == '\0' ? "is empty" : NULL;
}

const char *option_list(void *value, const char *argument)
{
	struct option_list *list = value;
	const char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (items == NULL)
		message_no_memory();
	items[list->count++] = argument;
	list->items = items;
	return NULL;
}

const char *option_size(void *value, const char *argument)
{
	uint64_t bytes;

	if (!text_parse_size(argument, &bytes) || bytes == 0)
		return "is not a size (such as 1MiB, 95M, 2GB or 1000000)";
	*(uint64_t *)value = bytes;
	return NULL;
}

const char *option_chunk(void *value, const char *argument)
{
	const char *wrong = option_size(value, argument);
	uint64_t bytes = *(uint64_t *)value;

	if (wrong != NULL)
		return wrong;
	if (bytes < LMODEL_CHUNK_MIN || bytes > LMODEL_CHUNK_MAX || bytes % LMODEL_CHUNK_MIN != 0)
		return "is not a multiple of 4KiB from 4KiB to 64MiB";
	return NULL;
}

const char *option_level(void *value, const char *argument)
{
	static const struct { const char *name; enum lmodel_level level; } levels[] = {
		{ "fast", LMODEL_LEVEL_FAST },
		{ "default", LMODEL_LEVEL_DEFAULT },
		{ "small", LMODEL_LEVEL_SMALL },
	};

	for (size_t i = 0; i < COUNT(levels); i++)
		if (strcmp(argument, levels[i].name) == 0) {
			struct option_level *into = value;

			into->given = true;
			into->level = (int)levels[i].level;
			return NULL;
		}
	return "is not one of fast, default, small";
}

const char *option_jobs(void *value, const char *argument)
{
	uint64_t n;

	if (!text_parse_count(argument, &n) || n > 1024)
		return "is not a number from 0 to 1024";
	*(unsigned *)value = (unsigned)n;
	return NULL;
}

/* ---- parsing ---- */

static size_t count_rows(const struct option_row *rows)
{
	size_t n = 0;

	while (rows[n].name != NULL)
		n++;
	return n;
}

static const struct option_row *row_of(const struct option_row *rows, int code)
{
	if (code >= LONG_BASE)
		return &rows[code - LONG_BASE];
	while (rows->name != NULL && rows->letter != code)
		rows++;
	return rows->name != NULL ? rows : NULL;
}

/* getopt_long() does not tell "unknown" from "could be several". */
static bool is_ambiguous(const struct option_row *rows, const char *name, size_t len)
{
	size_t hits = 0;

	for (; rows->name != NULL; rows++)
		hits += strncmp(rows->name, name, len) == 0;
	return hits > 1;
}

static int complain(const struct cmd *cmd, int what, char **argv)
{
	const struct option_row *row = row_of(cmd->options, optopt);
	char letter[2] = { (char)optopt, '\0' };

	if (what == ':' && optopt >= LONG_BASE)
		return message_usage(cmd, "option '--%s' needs an argument", row->name);
	if (what == ':')
		return message_usage(cmd, "option '-%s' needs an argument", letter);
	if (optopt >= LONG_BASE)
		return message_usage(cmd, "option '--%s' takes no argument", row->name);
	if (optopt == 0) {
		const char *given = argv[optind - 1];
		size_t len = strcspn(given, "=");
		bool ambiguous = is_ambiguous(cmd->options, given + 2, len - 2);
		char *name = text_format("%.*s", (int)len, given);

		message_usage(cmd, "%s option %s", ambiguous ? "ambiguous" : "unknown",
			      TEXT_QUOTE(name));
		free(name);
		return LMODEL_EUSAGE;
	}
	return message_usage(cmd, "unknown option %s", TEXT_QUOTE(((char[]){ '-', letter[0], 0 })));
}

int options_parse(const struct cmd *cmd, int argc, char **argv, bool in_order, int *first)
{
	size_t rows = count_rows(cmd->options), used = 0;
	struct option *longs = calloc(rows + 1, sizeof(*longs));
	char *letters = malloc(2 * rows + 3);
	int code, status = LMODEL_OK;

	if (longs == NULL || letters == NULL)
		message_no_memory();
	if (in_order)
		letters[used++] = '+';
	letters[used++] = ':';
	for (size_t i = 0; i < rows; i++) {
		const struct option_row *row = &cmd->options[i];

		longs[i] = (struct option){
			.name = row->name,
			.has_arg = row->argument != NULL ? required_argument : no_argument,
			.val = LONG_BASE + (int)i,
		};
		if (row->letter != 0)
			letters[used++] = row->letter;
		if (row->letter != 0 && row->argument != NULL)
			letters[used++] = ':';
	}
	letters[used] = '\0';

	optind = 0;
	opterr = 0;
	while (status == LMODEL_OK &&
	       (code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct option_row *row;
		const char *wrong;

		if (code == '?' || code == ':') {
			status = complain(cmd, code, argv);
			break;
		}
		row = row_of(cmd->options, code);
		wrong = row->set(row->value, optarg);
		if (wrong != NULL)
			status = message_usage(cmd, "option '--%s': %s %s", row->name,
					       TEXT_QUOTE(optarg), wrong);
	}
	*first = optind;
	free(letters);
	free(longs);
	return status;
}

/* ---- help ---- */

static int left_side(char *buffer, size_t size, const struct option_row *row)
{
	char letter[5] = "    ";

	if (row->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", row->letter);
	if (row->argument == NULL)
		return snprintf(buffer, size, "  %s--%s", letter, row->name);
	return snprintf(buffer, size, "  %s--%s %s", letter, row->name, row->argument);
}

/* Words of `text` from column `indent` on, lines broken between words. */
static void print_wrapped(const char *text, int indent)
{
	int column = indent;

	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (column > indent && column + 1 + len > LINE_WIDTH) {
			printf("\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", len, text);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}

void options_print(const struct option_row *rows)
{
	int widest = 0;
	char left[80];

	for (const struct option_row *row = rows; row->name != NULL; row++) {
		int len = left_side(left, sizeof(left), row);

		widest = len > widest ? len : widest;
	}
	for (const struct option_row *row = rows; row->name != NULL; row++) {
		left_side(left, sizeof(left), row);
		printf("%-*s  ", widest, left);
		print_wrapped(row->help, widest + 2);
	}
}
