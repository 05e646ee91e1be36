/* lmodel inspect */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lmodel.h>

#include "cmd.h"
#include "inspect.h"
#include "json.h"
#include "keys.h"
#include "licence.h"
#include "message.h"
#include "remote.h"
#include "text.h"
#include "view.h"

static struct key_options keys;
static struct remote_options remote;
static bool json;

static const struct option_row options[] = {
	OPTIONS_KEYS(keys),
	OPTIONS_REMOTE(remote),
	OPTION_JSON(json),
	OPTIONS_COMMON,
};

/* ---- gathering ---- */

struct dtype_sum {
	const char *dtype;
	size_t tensors;
	uint64_t bytes;
};

static int by_bytes(const void *a, const void *b)
{
	const struct dtype_sum *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return strcmp(x->dtype, y->dtype);
}

/* Tensors and bytes by dtype, most bytes first; aliases are not counted. */
static size_t sum_dtypes(const struct view *view, struct dtype_sum **sums)
{
	const struct lmodel_tensor *t;
	size_t count = 0;

	*sums = NULL;
	for (size_t i = 0; (t = view_tensor(view, i)) != NULL; i++) {
		size_t d = 0;

		if (t->alias_of != NULL)
			continue;
		while (d < count && strcmp((*sums)[d].dtype, t->dtype) != 0)
			d++;
		if (d == count) {
			struct dtype_sum *more = realloc(*sums, (count + 1) * sizeof(*more));

			if (more == NULL)
				message_no_memory();
			*sums = more;
			more[count++] = (struct dtype_sum){ .dtype = t->dtype };
		}
		(*sums)[d].tensors++;
		(*sums)[d].bytes += t->bytes;
	}
	if (count > 1)
		qsort(*sums, count, sizeof(**sums), by_bytes);
	return count;
}

/* "2026-01-31T12:00:00Z"; the seconds alone for a year that no calendar has. */
static const char *time_text(char *buffer, size_t size, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 9999 - 1900 ||
	    strftime(buffer, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(buffer, size, "%" PRId64, seconds);
	return buffer;
}

/* ---- text ---- */

static void print_sources(const struct view *view, size_t count)
{
	for (size_t i = 0; i < count && i < inspect_lines(); i++) {
		const struct lmodel_source *s = view_source(view, i);
		char *name = text_cut(s->name, INSPECT_WIDTH - 50);
		char *format = text_cut(s->format, 16);
		char size[TEXT_HUMAN];

		inspect_line(i > 0 ? "" : count == 1 ? "source" : "sources",
			     "%s (%s, %s, %zu tensor%s)", name, format, text_human(size, s->bytes),
			     s->tensor_count, text_plural(s->tensor_count));
		free(name);
		free(format);
	}
	inspect_more(count);
}

static void print_dtypes(const struct dtype_sum *sums, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char tensors[TEXT_COUNT], size[TEXT_HUMAN];

		inspect_line(i > 0 ? "" : "dtypes", "%-8s %8s tensor%-1s %12s", sums[i].dtype,
			     text_count(tensors, sums[i].tensors), text_plural(sums[i].tensors),
			     text_human(size, sums[i].bytes));
	}
}

/* ", of tier gold, open": nothing for one that is public. */
static char *sealed_text(const struct lmodel_attachment *a)
{
	char *tier, *text;

	if (a->tier == NULL)
		return text_format("%s", "");
	tier = text_cut(a->tier, 64);
	text = text_format(", tier %s, %s", tier, a->open ? "open" : "locked");
	free(tier);
	return text;
}

static void print_attachments(const struct view *view, size_t count)
{
	if (count == 0)
		inspect_line("attachments", "none");
	for (size_t i = 0; i < count && i < inspect_lines(); i++) {
		const struct lmodel_attachment *a = view_attachment(view, i);
		char *name = text_cut(a->name, INSPECT_WIDTH - 30), *sealed = sealed_text(a);
		char size[TEXT_HUMAN];

		inspect_line(i > 0 ? "" : "attachments", "%s (%s%s%s)", name,
			     a->open ? "" : "at most ", text_human(size, a->bytes), sealed);
		free(name);
		free(sealed);
	}
	inspect_more(count);
}

static void print_metadata(const struct view *view, size_t count)
{
	if (count == 0)
		inspect_line("metadata", "none");
	for (size_t i = 0; i < count && i < inspect_lines(); i++) {
		const struct lmodel_metadata *m = view_metadata(view, i);
		char *key = text_cut(m->key, 30);
		char *value = text_cut(m->value, INSPECT_WIDTH - 14 - 2 - strlen(key));

		inspect_line(i > 0 ? "" : "metadata", "%s: %s", key, value);
		free(key);
		free(value);
	}
	inspect_more(count);
}

static void print_text(const struct view *view, const char *path)
{
	char a[TEXT_HUMAN], b[TEXT_HUMAN], ratio[TEXT_RATIO], count[TEXT_COUNT], when[32];
	char *name = text_archive(strcmp(path, "-") == 0 ? path : text_base(path));
	struct lmodel_archive *archive = view->archive;
	struct lmodel_info info;
	struct dtype_sum *sums;
	size_t dtypes = sum_dtypes(view, &sums);
	char *tool;

	lmodel_info(archive, &info);
	tool = text_escape(info.tool);
	inspect_line("name", "%s", name);
	inspect_line("format", "lmodel %" PRIu32 ", written by %s", info.format_version, tool);
	inspect_line("id", "%s", info.id);
	inspect_line("created", "%s", time_text(when, sizeof(when), info.created));
	inspect_line("generation", "%" PRIu64 " (commit %" PRIu64 ")", info.content_generation,
		     info.commit_counter);
	print_sources(view, info.source_count);
	if (info.alias_count > 0)
		inspect_line("tensors", "%zu (%zu alias%s)", info.tensor_count, info.alias_count,
			     info.alias_count == 1 ? "" : "es");
	else
		inspect_line("tensors", "%zu", info.tensor_count);
	inspect_line("parameters", "%s", text_count(count, info.parameters));
	print_dtypes(sums, dtypes);
	inspect_line("size", "%s -> %s (%s)", text_human(a, info.tensor_bytes),
		     text_human(b, info.tensor_stored_bytes),
		     text_ratio(ratio, info.tensor_stored_bytes, info.tensor_bytes));
	inspect_line("file", "%s (%s bytes)", text_human(a, info.file_bytes),
		     text_count(count, info.file_bytes));
	if (info.dead_bytes > 0)
		inspect_line("", "%s of it is dead%s: lmodel repack frees it",
			     text_human(a, info.dead_bytes),
			     inspect_lacks_tiers(archive) ? " or of tiers not in this file" : "");
	inspect_line("manifest", "%s, room for %s", text_human(a, info.manifest_bytes),
		     text_human(b, info.manifest_room));
	print_attachments(view, info.attachment_count);
	licence_print(archive);
	print_metadata(view, info.metadata_count);
	inspect_tiers(archive);
	inspect_slots(archive);
	inspect_signatures(archive);
	inspect_line("content root", "%s", info.content_root);
	free(tool);
	free(name);
	free(sums);
}

static void print_model(const struct view *view, const char *path)
{
	char size[TEXT_HUMAN], count[TEXT_COUNT];
	struct lmodel_model_info info;
	char *name = text_escape(*text_base(path) != '\0' ? text_base(path) : path);
	struct dtype_sum *sums;
	size_t dtypes = sum_dtypes(view, &sums);

	lmodel_model_info(view->model, &info);
	inspect_line("name", "%s", name);
	inspect_line("format", "%s, not packed", info.source_format);
	print_sources(view, info.source_count);
	inspect_line("tensors", "%zu", info.tensor_count);
	inspect_line("parameters", "%s", text_count(count, info.parameters));
	print_dtypes(sums, dtypes);
	inspect_line("size", "%s", text_human(size, info.tensor_bytes));
	inspect_line(info.source_count == 1 ? "file" : "files", "%s (%s bytes)",
		     text_human(size, info.file_bytes), text_count(count, info.file_bytes));
	print_attachments(view, info.attachment_count);
	print_metadata(view, info.metadata_count);
	inspect_line("protection", "none: the model is in the clear");
	free(name);
	free(sums);
}

/* ---- JSON ---- */

static json_t *dtypes_json(const struct view *view)
{
	json_t *array = json_array();
	struct dtype_sum *sums;
	size_t count = sum_dtypes(view, &sums);

	for (size_t i = 0; i < count; i++) {
		json_t *object = json_object();

		json_put(object, "dtype", json_text(sums[i].dtype));
		json_put(object, "tensors", json_number(sums[i].tensors));
		json_put(object, "bytes", json_number(sums[i].bytes));
		json_push(array, object);
	}
	free(sums);
	return array;
}

static json_t *sources_json(const struct view *view)
{
	json_t *array = json_array();
	const struct lmodel_source *s;

	for (size_t i = 0; (s = view_source(view, i)) != NULL; i++) {
		json_t *object = json_object();

		json_put(object, "name", json_text(s->name));
		json_put(object, "format", json_text(s->format));
		json_put(object, "bytes", json_number(s->bytes));
		json_put(object, "tensors", json_number(s->tensor_count));
		json_push(array, object);
	}
	return array;
}

static json_t *attachments_json(const struct view *view)
{
	json_t *array = json_array();
	const struct lmodel_attachment *a;

	for (size_t i = 0; (a = view_attachment(view, i)) != NULL; i++) {
		json_t *object = json_object();

		json_put(object, "name", json_text(a->name));
		json_put(object, "bytes", json_number(a->bytes));
		if (view->archive != NULL) {
			json_put(object, "stored_bytes", json_number(a->stored_bytes));
			json_put(object, "tier", json_text(a->tier));
			json_put(object, "open", json_bool(a->open));
		}
		json_push(array, object);
	}
	return array;
}

static json_t *metadata_json(const struct view *view)
{
	json_t *array = json_array();
	const struct lmodel_metadata *m;

	for (size_t i = 0; (m = view_metadata(view, i)) != NULL; i++) {
		json_t *object = json_object();

		json_put(object, "source", json_text(m->source));
		json_put(object, "key", json_text(m->key));
		json_put(object, "value", json_text(m->value));
		json_push(array, object);
	}
	return array;
}

static void print_json(const struct view *view)
{
	struct lmodel_archive *archive = view->archive;
	json_t *d = json_document();
	struct lmodel_info info;
	char when[32];

	lmodel_info(archive, &info);
	json_put(d, "packed", json_bool(true));
	json_put(d, "format_version", json_number(info.format_version));
	json_put(d, "tool", json_text(info.tool));
	json_put(d, "id", json_text(info.id));
	json_put(d, "created", json_text(time_text(when, sizeof(when), info.created)));
	json_put(d, "content_generation", json_number(info.content_generation));
	json_put(d, "commit_counter", json_number(info.commit_counter));
	json_put(d, "source_format", json_text(info.source_format));
	json_put(d, "sources", sources_json(view));
	json_put(d, "tensors", json_number(info.tensor_count));
	json_put(d, "aliases", json_number(info.alias_count));
	json_put(d, "parameters", json_number(info.parameters));
	json_put(d, "dtypes", dtypes_json(view));
	json_put(d, "bytes", json_number(info.tensor_bytes));
	json_put(d, "stored_bytes", json_number(info.tensor_stored_bytes));
	json_put(d, "file_bytes", json_number(info.file_bytes));
	json_put(d, "committed_bytes", json_number(info.committed_bytes));
	json_put(d, "dead_bytes", json_number(info.dead_bytes));
	json_put(d, "chunk_bytes", json_number(info.chunk_bytes));
	json_put(d, "manifest_bytes", json_number(info.manifest_bytes));
	json_put(d, "manifest_room", json_number(info.manifest_room));
	json_put(d, "attachments", attachments_json(view));
	json_put(d, "licences", licence_json(archive));
	json_put(d, "model_card", licence_card_json(archive));
	json_put(d, "metadata", metadata_json(view));
	json_put(d, "protected", json_bool(lmodel_tier_count(archive) > 0));
	json_put(d, "tiers", inspect_tiers_json(archive));
	json_put(d, "slots", inspect_slots_json(archive));
	json_put(d, "signed", json_bool(lmodel_signature_count(archive) > 0));
	json_put(d, "signatures", inspect_signatures_json(archive));
	json_put(d, "content_root", json_text(info.content_root));
	json_put(d, "statement", json_text(info.statement));
	json_print(d);
}

static void print_model_json(const struct view *view)
{
	json_t *d = json_document();
	struct lmodel_model_info info;

	lmodel_model_info(view->model, &info);
	json_put(d, "packed", json_bool(false));
	json_put(d, "source_format", json_text(info.source_format));
	json_put(d, "sources", sources_json(view));
	json_put(d, "tensors", json_number(info.tensor_count));
	json_put(d, "parameters", json_number(info.parameters));
	json_put(d, "dtypes", dtypes_json(view));
	json_put(d, "bytes", json_number(info.tensor_bytes));
	json_put(d, "file_bytes", json_number(info.file_bytes));
	json_put(d, "attachments", attachments_json(view));
	json_put(d, "metadata", metadata_json(view));
	json_print(d);
}

static int inspect(const struct view *view, const char *path)
{
	bool unlocked;
	int r;

	if (view->model != NULL && keys_given(&keys)) {
		message_error("%s: is not packed: there is nothing for a key to open",
			      TEXT_QUOTE(path));
		return LMODEL_ENOKEY;
	}
	if (view->model != NULL) {
		if (json)
			print_model_json(view);
		else
			print_model(view, path);
		return LMODEL_OK;
	}
	r = keys_unlock(view->archive, &keys, false, &unlocked);
	if (r != LMODEL_OK)
		return r;
	if (json)
		print_json(view);
	else
		print_text(view, path);
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct view view;
	int r = keys_check(&cmd_inspect, &keys, operands[0]);

	(void)count;
	if (r != LMODEL_OK)
		return r;
	r = view_open(&view, operands[0], true, &remote);
	if (r != LMODEL_OK)
		return r;
	r = inspect(&view, operands[0]);
	view_close(&view);
	return r;
}

const struct cmd cmd_inspect = {
	.name = "inspect",
	.synopsis = "[options] ARCHIVE",
	.summary = "show what an archive is, on one screen",
	.about =
	"Shows what ARCHIVE (\"-\": standard input) is, on one screen. Reads and checks the\n"
	"manifest; tensor data is not read. An owner's key shows whose the key slots are.\n"
	"ARCHIVE may also be an address (https://, oci://), or a model that is not\n"
	"packed.\n",
	.options = options,
	.secrets = true,
	.remote = REMOTE_READS,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
