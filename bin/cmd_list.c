/* lmodel list */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "message.h"
#include "remote.h"
#include "text.h"
#include "view.h"

static bool long_form, null, json, side_files;
static struct option_list excludes;
static struct remote_options remote;

static const struct option_row options[] = {
	{ "long", 'l', NULL, "dtype, shape, raw and stored bytes, ratio, encrypted share, name",
	  option_flag, &long_form },
	{ "null", '0', NULL, "names as they are, each ended by a NUL", option_flag, &null },
	{ "exclude", 0, "PATTERN", "leave out what PATTERN picks; may be given again", option_list,
	  &excludes },
	{ "attachments", 0, NULL, "list side files instead of tensors", option_flag, &side_files },
	OPTIONS_REMOTE(remote),
	OPTION_JSON(json),
	OPTIONS_COMMON,
};

/* A tensor or a side file. */
struct entry {
	const struct lmodel_tensor *tensor; /* NULL for a side file */
	const char *name;
	uint64_t bytes, stored_bytes;
	uint64_t hidden; /* at most so many of the bytes are encrypted */
	uint64_t obfuscated; /* and so many recoverable without a key */
	const char *tier; /* that a side file is sealed for */
	bool picked;
};

static struct entry entry_at(const struct view *view, size_t index)
{
	const struct lmodel_attachment *a;
	const struct lmodel_tensor *t;

	if (side_files) {
		a = view_attachment(view, index);
		return (struct entry){ .name = a->name, .bytes = a->bytes,
				       .stored_bytes = a->stored_bytes, .tier = a->tier };
	}
	t = view_tensor(view, index);
	return (struct entry){ .tensor = t, .name = t->name, .bytes = t->bytes,
			       .stored_bytes = t->stored_bytes };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct lmodel_shard *)a)->tensor,
		      ((const struct lmodel_shard *)b)->tensor);
}

static void add_most(uint64_t *sum, uint64_t most, uint64_t bytes)
{
	if (__builtin_add_overflow(*sum, most, sum) || *sum > bytes)
		*sum = bytes; /* padding is more than is left */
}

/* Adds up what the tiers hide of each tensor. An alias has the bytes of its target. */
static void sum_shards(const struct lmodel_archive *archive, struct entry *entries, size_t count)
{
	size_t shards = lmodel_shard_count(archive);
	struct lmodel_shard *sorted = calloc(shards + 1, sizeof(*sorted));

	if (sorted == NULL)
		message_no_memory();
	for (size_t i = 0; i < shards; i++)
		if (lmodel_shard_at(archive, i, &sorted[i]) != LMODEL_OK)
			sorted[i] = (struct lmodel_shard){ .tensor = "" };
	qsort(sorted, shards, sizeof(*sorted), by_name);
	for (size_t i = 0; i < count && shards > 0; i++) {
		const char *alias_of = entries[i].tensor->alias_of;
		const struct lmodel_shard key = {
			.tensor = alias_of != NULL ? alias_of : entries[i].name
		};
		const struct lmodel_shard *s = bsearch(&key, sorted, shards, sizeof(key), by_name);

		while (s != NULL && s > sorted && by_name(s - 1, &key) == 0)
			s--;
		for (; s != NULL && s < sorted + shards && by_name(s, &key) == 0; s++)
			add_most(s->recoverable ? &entries[i].obfuscated : &entries[i].hidden,
				 s->most_bytes, entries[i].bytes);
	}
	free(sorted);
}

/* Marks what is to be listed; `hit[i]` is set when pattern i picked something. */
static void pick(struct entry *entries, size_t count, int pattern_count, char **patterns, bool *hit)
{
	for (size_t i = 0; i < count; i++) {
		entries[i].picked = pattern_count == 0;
		for (int p = 0; p < pattern_count; p++)
			if (lmodel_match(patterns[p], entries[i].name))
				entries[i].picked = hit[p] = true;
		for (size_t x = 0; x < excludes.count && entries[i].picked; x++)
			entries[i].picked = !lmodel_match(excludes.items[x], entries[i].name);
	}
}

/* ---- forms ---- */

static void print_names(const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count && !message_stdout_failed(); i++) {
		if (!entries[i].picked)
			continue;
		if (null)
			fputs(entries[i].name, stdout);
		else
			text_print(stdout, entries[i].name);
		putchar(null ? '\0' : '\n');
	}
}

static int digits(uint64_t n)
{
	return snprintf(NULL, 0, "%" PRIu64, n);
}

static int larger(int a, int b)
{
	return a > b ? a : b;
}

/* "<=4.0%": only padded lengths show without a key. "obf 100%": recoverable without one. */
static void print_hidden(const struct entry *e)
{
	char share[TEXT_RATIO], most[TEXT_RATIO + 6] = "-";

	if (e->obfuscated > 0)
		snprintf(most, sizeof(most), "obf%s%s", e->obfuscated == e->bytes ? " " : "<=",
			 text_ratio(share, e->obfuscated, e->bytes));
	else if (e->hidden > 0)
		snprintf(most, sizeof(most), "<=%s", text_ratio(share, e->hidden, e->bytes));
	printf("%10s  ", most);
}

static void print_long(const struct view *view, const struct entry *entries, size_t count)
{
	bool packed = view->archive != NULL;
	bool has_tiers = packed && lmodel_tier_count(view->archive) > 0;
	int dtype = 0, shape = 0, bytes = 0, stored = 0;
	char ratio[TEXT_RATIO];
	char *text;

	for (size_t i = 0; i < count; i++) {
		const struct entry *e = &entries[i];

		if (!e->picked)
			continue;
		bytes = larger(bytes, digits(e->bytes));
		stored = larger(stored, digits(e->stored_bytes));
		if (e->tensor == NULL)
			continue;
		text = text_shape(e->tensor);
		shape = larger(shape, (int)strlen(text));
		dtype = larger(dtype, (int)strlen(e->tensor->dtype));
		free(text);
	}
	for (size_t i = 0; i < count && !message_stdout_failed(); i++) {
		const struct entry *e = &entries[i];
		const char *alias_of = e->tensor != NULL ? e->tensor->alias_of : NULL;

		if (!e->picked)
			continue;
		if (e->tensor != NULL) {
			text = text_shape(e->tensor);
			printf("%-*s  %-*s  ", dtype, e->tensor->dtype, shape, text);
			free(text);
		}
		printf("%*" PRIu64 "  ", bytes, e->bytes);
		if (packed)
			printf("%*" PRIu64 "  %6s  ", stored, e->stored_bytes,
			       alias_of != NULL ? "-" :
						  text_ratio(ratio, e->stored_bytes, e->bytes));
		if (has_tiers && e->tensor != NULL)
			print_hidden(e);
		text_print(stdout, e->name);
		if (alias_of != NULL) {
			fputs(" -> ", stdout);
			text_print(stdout, alias_of);
		}
		if (e->tier != NULL) {
			fputs("  (tier ", stdout);
			text_print(stdout, e->tier);
			putchar(')');
		}
		putchar('\n');
	}
}

static json_t *entry_json(const struct entry *e, bool packed)
{
	const struct lmodel_tensor *t = e->tensor;
	json_t *object = json_object(), *shape;

	json_put(object, "name", json_text(e->name));
	if (t != NULL) {
		shape = json_array();
		for (unsigned i = 0; i < t->rank; i++)
			json_push(shape, json_number(t->shape[i]));
		json_put(object, "dtype", json_text(t->dtype));
		json_put(object, "shape", shape);
		json_put(object, "elements", json_number(t->elements));
	}
	json_put(object, "bytes", json_number(e->bytes));
	if (packed)
		json_put(object, "stored_bytes", json_number(e->stored_bytes));
	if (packed && t == NULL)
		json_put(object, "tier", json_text(e->tier));
	if (packed && t != NULL) {
		json_put(object, "protected_bytes", json_number(e->hidden));
		json_put(object, "recoverable_bytes", json_number(e->obfuscated));
		json_put(object, "alias_of", json_text(t->alias_of));
	}
	if (t != NULL)
		json_put(object, "source", json_text(t->source));
	if (packed && t != NULL)
		json_put(object, "member", json_text(t->member));
	return object;
}

static void print_json(const struct entry *entries, size_t count, bool packed)
{
	json_t *document = json_document();
	bool first = true;

	json_put(document, "packed", json_bool(packed));
	putchar('{');
	json_print_members(document, true);
	json_print_list(side_files ? "attachments" : "tensors");
	for (size_t i = 0; i < count && !message_stdout_failed(); i++) {
		if (!entries[i].picked)
			continue;
		json_print_item(entry_json(&entries[i], packed), first);
		first = false;
	}
	puts("]}");
}

/* ---- */

static int list(const struct view *view, const char *path, int pattern_count, char **patterns)
{
	bool packed = view->archive != NULL;
	struct entry *entries;
	bool *hit = calloc((size_t)pattern_count + 1, sizeof(*hit));
	int status = LMODEL_OK;
	size_t count = side_files ? view->attachment_count : view->tensor_count;

	entries = calloc(count + 1, sizeof(*entries));
	if (entries == NULL || hit == NULL)
		message_no_memory();
	for (size_t i = 0; i < count; i++)
		entries[i] = entry_at(view, i);
	if (packed && !side_files && (json || long_form))
		sum_shards(view->archive, entries, count);
	pick(entries, count, pattern_count, patterns, hit);
	if (json)
		print_json(entries, count, packed);
	else if (long_form)
		print_long(view, entries, count);
	else
		print_names(entries, count);
	for (int p = 0; p < pattern_count; p++)
		if (!hit[p]) {
			fflush(stdout); /* the list stands before the complaints */
			message_error("%s: no %s matches %s", TEXT_QUOTE(path),
				      side_files ? "attachment" : "tensor",
				      TEXT_QUOTE(patterns[p]));
			status = LMODEL_EFAILED;
		}
	free(entries);
	free(hit);
	return status;
}

static int run(int count, char **operands)
{
	struct view view;
	int r;

	if (null && long_form)
		return message_usage(&cmd_list, "--null and --long exclude each other");
	if (json && (null || long_form))
		return message_usage(&cmd_list, "--json and --%s exclude each other",
				     null ? "null" : "long");
	r = view_open(&view, operands[0], false, &remote);
	if (r != LMODEL_OK)
		return r;
	r = list(&view, operands[0], count - 1, operands + 1);
	view_close(&view);
	return r;
}

const struct cmd cmd_list = {
	.name = "list",
	.synopsis = "[options] ARCHIVE [PATTERN...]",
	.summary = "name the tensors, one a line",
	.about =
	"Names the tensors of ARCHIVE (\"-\": standard input), one a line, in their order.\n"
	"ARCHIVE may also be an address (https://, oci://), or a model that is not\n"
	"packed: a file or a directory.\n"
	"PATTERN is a shell pattern, a name, or the beginning of names up to a \".\" or\n"
	"\"/\".\n",
	.options = options,
	.remote = REMOTE_READS,
	.least = 1,
	.most = -1,
	.missing = "ARCHIVE",
	.run = run,
};
