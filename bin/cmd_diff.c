/* lmodel diff */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "message.h"
#include "progress.h"
#include "text.h"

static bool json;
static unsigned jobs;

static const struct option_row options[] = {
	OPTION_JOBS(jobs),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static struct {
	struct lmodel_archive *a, *b;
	json_t *differences;
} state;

static void print_content(const struct lmodel_diff_entry *e)
{
	const struct lmodel_tensor *t = lmodel_tensor_find(state.a, e->name);
	bool bytes = t != NULL && t->dtype_bits < 8;

	fputs("~ ", stdout);
	text_print(stdout, e->name);
	if (t == NULL)
		printf("  %" PRIu64 " elements differ\n", e->elements);
	else
		printf("  %" PRIu64 " of %" PRIu64 " %s differ\n", e->elements,
		       bytes ? t->bytes : t->elements, bytes ? "bytes" : "elements");
}

/* `detail` is printable as it comes. */
static void print_line(const char *mark, const struct lmodel_diff_entry *e, const char *what)
{
	fputs(mark, stdout);
	fputc(' ', stdout);
	text_print(stdout, e->name);
	if (what[0] != '\0' || e->detail[0] != '\0')
		printf(" %s%s%s", what, e->detail[0] != '\0' ? " " : "", e->detail);
	putchar('\n');
}

static void print_entry(const struct lmodel_diff_entry *e)
{
	progress_clear();
	switch (e->kind) {
	case LMODEL_ONLY_A:
		print_line("-", e, "");
		break;
	case LMODEL_ONLY_B:
		print_line("+", e, "");
		break;
	case LMODEL_DTYPE:
		print_line("!", e, " dtype");
		break;
	case LMODEL_SHAPE:
		print_line("!", e, " shape");
		break;
	case LMODEL_CONTENT:
		print_content(e);
		break;
	case LMODEL_METADATA:
		print_line("! metadata", e, "");
		break;
	case LMODEL_ATTACHMENT:
		print_line("! attachment", e, "");
		break;
	}
}

static void keep_entry(const struct lmodel_diff_entry *e)
{
	static const char *const kinds[] = {
		[LMODEL_ONLY_A] = "only_a",     [LMODEL_ONLY_B] = "only_b",
		[LMODEL_DTYPE] = "dtype",       [LMODEL_SHAPE] = "shape",
		[LMODEL_CONTENT] = "content",   [LMODEL_METADATA] = "metadata",
		[LMODEL_ATTACHMENT] = "attachment",
	};
	json_t *object = json_object();

	json_put(object, "kind", json_text(kinds[e->kind]));
	json_put(object, "name", json_text(e->name));
	json_put(object, "detail", json_text(e->detail));
	if (e->kind == LMODEL_CONTENT)
		json_put(object, "elements", json_number(e->elements));
	json_push(state.differences, object);
}

static void on_entry(void *context, const struct lmodel_diff_entry *e)
{
	(void)context;
	if (json)
		keep_entry(e);
	else if (!message_quiet && !message_stdout_failed())
		print_entry(e);
}

static int compare(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { .jobs = jobs };
	size_t count = 0;
	int r;

	state.differences = json ? json_array() : NULL;
	progress_begin(&run, "diff");
	r = lmodel_diff(state.a, state.b, &run, on_entry, &count, &error);
	progress_end();
	if (r != LMODEL_OK) {
		json_decref(state.differences);
		return message_fail(&error);
	}
	if (json) {
		json_t *document = json_document();

		json_put(document, "equal", json_bool(count == 0));
		json_put(document, "count", json_number(count));
		json_put(document, "differences", state.differences);
		json_print(document);
	}
	message_detail("%zu difference%s", count, text_plural(count));
	return count > 0 ? 1 : LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r;

	(void)count;
	if (strcmp(operands[0], "-") == 0 && strcmp(operands[1], "-") == 0)
		return message_usage(&cmd_diff, "one archive alone can come from standard input");
	if (lmodel_open(&state.a, operands[0], &error) != LMODEL_OK ||
	    lmodel_open(&state.b, operands[1], &error) != LMODEL_OK)
		r = message_fail(&error);
	else {
		if (lmodel_tier_count(state.a) + lmodel_tier_count(state.b) > 0)
			message_notice("what everybody can read is compared: tiers are not");
		r = compare();
	}
	lmodel_close(state.a);
	lmodel_close(state.b);
	return r;
}

const struct cmd cmd_diff = {
	.name = "diff",
	.synopsis = "[options] A B",
	.summary = "tell what differs between two archives",
	.about =
	"Tells what differs between two archives: \"-\" in A alone, \"+\" in B alone, \"!\" of\n"
	"another dtype or shape, \"~\" of other values. Exit status 0 when they are equal,\n"
	"1 when they differ. -q leaves out the list.\n",
	.options = options,
	.least = 2,
	.most = 2,
	.missing = "A or B",
	.run = run,
};
