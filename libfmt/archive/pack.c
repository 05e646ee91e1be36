/* lmodel_pack(): models in, one archive out. */
#include <lmodel/pack.h>

#include <sys/stat.h>
#include <time.h>

#include <lmodel/version.h>

#include "archive/bundle.h"
#include "archive/duplicates.h"
#include "archive/options.h"
#include "archive/protect.h"
#include "archive/writer.h"
#include "base/io.h"
#include "base/publish.h"
#include "container/tar.h"
#include "import/source.h"

/* When and how long a file was as it was opened: what is packed must be one state of it. */
struct stamp {
	int fd;
	const char *label;
	struct stat st;
};

/* What each member is made of: members come in the order skeletons, attachments, tensors. */
struct packing {
	const struct lmodel_pack_options *options;
	struct lm_model model;
	struct lm_manifest manifest;
	size_t *tensor_of;      /* member -> tensor, for members from first_tensor on */
	size_t first_tensor;
	size_t *attachment_of;  /* member -> attachment, for those between */
	struct stamp *stamps;
	size_t stamp_count;
	struct lm_protection *protection; /* NULL: all is public */
};

static int read_tensor(const struct packing *p, size_t tensor, uint64_t offset, void *buffer,
		       size_t len, struct lmodel_error *error)
{
	if (p->protection != NULL)
		return lm_public_read(&p->protection->model, tensor, offset, buffer, len, error);
	return lm_model_read(&p->model, tensor, offset, buffer, len, error);
}

static int feed(void *context, unsigned worker, size_t member, uint64_t offset, void *buffer,
		size_t len, struct lmodel_error *error)
{
	const struct packing *p = context;
	const struct lm_model *m = &p->model;
	const struct lm_source_attachment *a;

	(void)worker;
	if (member < m->source_count) {
		memcpy(buffer, m->sources[member].skeleton + offset, len);
		return LMODEL_OK;
	}
	if (member >= p->first_tensor)
		return read_tensor(p, p->tensor_of[member - p->first_tensor], offset, buffer, len,
				   error);
	a = &m->attachments[p->attachment_of[member - m->source_count]];
	return lm_read_at(a->fd, a->label, buffer, len, offset, error);
}

static int add_member(struct packing *p, const char *prefix, const char *name, bool keep_slash,
		      size_t number, uint64_t bytes, const char *coding, struct lmodel_error *error)
{
	struct lm_member *m = &p->manifest.members[p->manifest.member_count++];

	m->bytes = bytes;
	lm_coding_parse(coding, &m->coding);
	memcpy(m->coding_name, coding, strlen(coding) + 1);
	m->path = lm_tar_path(prefix, name, keep_slash, number, error);
	if (m->path == NULL)
		return LMODEL_EFAILED;
	return lm_member_divide(m, p->options->chunk_bytes, error);
}

static int add_files(struct packing *p, struct lmodel_error *error)
{
	struct lm_manifest *m = &p->manifest;
	const struct lm_model *in = &p->model;

	for (size_t i = 0; i < in->source_count; i++) {
		struct lm_source_row *row = &m->sources[m->source_count++];

		row->name = lm_strdup(in->sources[i].name, error);
		row->format = lm_strdup(in->sources[i].format, error);
		row->bytes = in->sources[i].size;
		row->skeleton = m->member_count;
		if (row->name == NULL || row->format == NULL ||
		    add_member(p, "skeleton/", in->sources[i].name, true, i,
			       in->sources[i].skeleton_len, "w1", error))
			return LMODEL_EFAILED;
	}
	for (size_t i = 0; i < in->attachment_count; i++) {
		struct lm_attachment_row *row = &m->attachments[m->attachment_count];

		if (in->attachments[i].tier != NULL)
			continue;
		p->attachment_of[m->attachment_count++] = i;
		row->name = lm_strdup(in->attachments[i].name, error);
		row->member = m->member_count;
		if (row->name == NULL ||
		    add_member(p, "attachment/", in->attachments[i].name, true, i,
			       in->attachments[i].size, "w1", error))
			return LMODEL_EFAILED;
	}
	for (size_t i = 0; i < in->metadata_count; i++) {
		struct lm_metadata_row *row = &m->metadata[m->metadata_count++];

		row->source = in->metadata[i].source;
		row->key = lm_strdup(in->metadata[i].key, error);
		row->value = lm_strdup(in->metadata[i].value, error);
		if (row->key == NULL || row->value == NULL)
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

static int add_tensors(struct packing *p, const size_t *alias, struct lmodel_error *error)
{
	struct lm_manifest *m = &p->manifest;
	const struct lm_model *in = &p->model;

	p->first_tensor = m->member_count;
	for (size_t i = 0; i < in->tensor_count; i++) {
		const struct lm_source_tensor *t = &in->tensors[i];
		struct lm_tensor_row *row = &m->tensors[m->tensor_count++];

		row->dtype = t->dtype;
		row->rank = t->rank;
		row->bytes = t->bytes;
		row->source = t->source;
		row->alias = alias[i];
		row->member = alias[i] == LM_NONE ? m->member_count : LM_NONE;
		row->name = lm_strdup(t->name, error);
		row->shape = calloc(t->rank + 1u, sizeof(*row->shape));
		if (row->name == NULL)
			return LMODEL_EFAILED;
		if (row->shape == NULL)
			return lm_fail_memory(error);
		if (t->rank > 0)
			memcpy(row->shape, t->shape, t->rank * sizeof(*row->shape));
		if (alias[i] != LM_NONE)
			continue;
		p->tensor_of[m->member_count - p->first_tensor] = i;
		if (add_member(p, "base/", t->name, false, i, t->bytes, t->dtype->coding, error))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

static int add_archive(struct packing *p, struct lmodel_error *error)
{
	struct lm_manifest *m = &p->manifest;
	uint8_t id[16] = { 0 };

	m->format = LMODEL_FORMAT_VERSION;
	m->content_generation = 1;
	if (p->options->seed_len == 0) {
		lm_random(id, sizeof(id));
		m->created = (int64_t)time(NULL);
	}
	lm_uuid_format(m->id, id);
	m->tool = lm_strdup("lmodel " LMODEL_VERSION_STRING, error);
	m->source_format = lm_strdup(lm_model_format(&p->model), error);
	return m->tool == NULL || m->source_format == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

/* All rows but what only writing can tell. */
static int describe(struct packing *p, const char *directory, struct lmodel_error *error)
{
	struct lm_manifest *m = &p->manifest;
	const struct lm_model *in = &p->model;
	LM_FREE size_t *alias = calloc(in->tensor_count + 1, sizeof(*alias));
	int r;

	m->members = calloc(in->source_count + in->attachment_count + in->tensor_count + 1,
			    sizeof(*m->members));
	m->sources = calloc(in->source_count + 1, sizeof(*m->sources));
	m->attachments = calloc(in->attachment_count + 1, sizeof(*m->attachments));
	m->metadata = calloc(in->metadata_count + 1, sizeof(*m->metadata));
	m->tensors = calloc(in->tensor_count + 1, sizeof(*m->tensors));
	p->tensor_of = calloc(in->tensor_count + 1, sizeof(*p->tensor_of));
	p->attachment_of = calloc(in->attachment_count + 1, sizeof(*p->attachment_of));
	if (alias == NULL || m->members == NULL || m->sources == NULL || m->attachments == NULL ||
	    m->metadata == NULL || m->tensors == NULL || p->tensor_of == NULL ||
	    p->attachment_of == NULL)
		return lm_fail_memory(error);
	r = lm_find_duplicates(in, alias, error);
	if (r == LMODEL_OK)
		r = add_archive(p, error);
	if (r == LMODEL_OK)
		r = add_files(p, error);
	if (r == LMODEL_OK)
		r = lm_manifest_set_features(m, error);
	if (r == LMODEL_OK)
		r = add_tensors(p, alias, error);
	if (r == LMODEL_OK)
		lm_bundle_members(m);
	if (r == LMODEL_OK && p->protection != NULL)
		r = lm_protection_begin(p->protection, in, alias, m, p->options, directory, error);
	return r;
}

static int stamp_file(struct packing *p, int fd, const char *label, struct lmodel_error *error)
{
	struct stamp *s = &p->stamps[p->stamp_count++];

	s->fd = fd;
	s->label = label;
	if (fstat(fd, &s->st) != 0)
		return lm_fail_errno(error, "%s", label);
	return LMODEL_OK;
}

static int stamp_inputs(struct packing *p, struct lmodel_error *error)
{
	const struct lm_model *in = &p->model;
	int r = LMODEL_OK;

	p->stamps = calloc(in->source_count + in->attachment_count + 1, sizeof(*p->stamps));
	if (p->stamps == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < in->source_count && r == LMODEL_OK; i++)
		r = stamp_file(p, in->sources[i].fd, in->sources[i].label, error);
	for (size_t i = 0; i < in->attachment_count && r == LMODEL_OK; i++)
		r = stamp_file(p, in->attachments[i].fd, in->attachments[i].label, error);
	return r;
}

static int check_stamps(const struct packing *p, struct lmodel_error *error)
{
	for (size_t i = 0; i < p->stamp_count; i++) {
		const struct stamp *s = &p->stamps[i];
		struct stat now;

		if (fstat(s->fd, &now) != 0)
			return lm_fail_errno(error, "%s", s->label);
		if (now.st_size != s->st.st_size || now.st_mtim.tv_sec != s->st.st_mtim.tv_sec ||
		    now.st_mtim.tv_nsec != s->st.st_mtim.tv_nsec)
			return lm_fail(error, LMODEL_EFAILED, "%s: was changed while it was read",
				       s->label);
	}
	return LMODEL_OK;
}

static int write_archive(struct packing *p, int fd, const char *label, struct lm_behind *behind,
			 struct lmodel_error *error)
{
	const struct lm_sealing sealing = { lm_protection_seal, p->protection };
	struct lm_feed from = { .read = feed, .context = p };
	bool protected = p->protection != NULL;
	struct lm_writer writer;
	int r = lm_writer_begin(&writer, fd, label, &p->manifest, error);

	writer.behind = behind;
	if (r == LMODEL_OK)
		r = lm_writer_encode(&writer, &from, p->options->level, &p->options->run, error);
	if (r == LMODEL_OK && protected)
		r = lm_protection_write(p->protection, &writer, error);
	if (r == LMODEL_OK)
		r = check_stamps(p, error);
	/* A protected archive has its id already: its keys are bound to it. */
	if (r == LMODEL_OK)
		r = lm_writer_finish(&writer, p->options->seed,
				     protected ? 0 : p->options->seed_len,
				     protected ? &sealing : NULL, 1, error);
	lm_writer_release(&writer);
	return r;
}

/* For who packs from memory, whose files have no names. Set for the import of one input. */
static int import_named(struct lm_model *model, const char *input, const char *name,
			const char *spool, const struct lmodel_run *run, struct lmodel_error *error)
{
	struct stat st;
	int r;

	if (name != NULL && stat(input, &st) == 0 && S_ISDIR(st.st_mode))
		return lm_fail(error, LMODEL_EUSAGE, "%s: a directory keeps the names in it",
			       LM_QUOTE(name));
	if (name != NULL && !lm_path_is_safe(name))
		return lm_fail(error, LMODEL_EUSAGE, "%s: cannot be the name of an input",
			       LM_QUOTE(name));
	model->input_name = name;
	r = lm_import(model, input, spool, run, error);
	model->input_name = NULL;
	return r;
}

static int import_all(struct packing *p, const char *spool, const char *const *inputs, size_t count,
		      struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < count && r == LMODEL_OK; i++) {
		const char *const *names = p->options->input_names;

		r = import_named(&p->model, inputs[i], names != NULL ? names[i] : NULL, spool,
				 &p->options->run, error);
	}
	for (size_t i = 0; i < p->model.attachment_count; i++)
		p->model.attachments[i].found = true;
	for (size_t i = 0; i < p->options->attach_count && r == LMODEL_OK; i++)
		r = lm_import_attachment(&p->model, p->options->attach[i].path,
					 p->options->attach[i].name, p->options->attach[i].tier,
					 &p->options->run, error);
	if (r == LMODEL_OK)
		r = lm_model_check(&p->model, error);
	if (r == LMODEL_OK)
		r = stamp_inputs(p, error);
	return r;
}

static int pack_to_file(struct packing *p, const char *output, const char *const *inputs,
			size_t count, struct lmodel_error *error)
{
	struct lm_output out = LM_OUTPUT_INIT;
	LM_FREE char *directory = lm_directory_of(output, error);
	char label[LM_QUOTE_SIZE];
	int r = directory == NULL ? LMODEL_EFAILED : LMODEL_OK;

	/* Begun first: an output that cannot be is told before hours of work. */
	if (r == LMODEL_OK)
		r = lm_output_begin(&out, output, p->options->overwrite, error);
	if (r == LMODEL_OK)
		r = import_all(p, directory, inputs, count, error);
	if (r == LMODEL_OK)
		r = describe(p, directory, error);
	if (r == LMODEL_OK)
		r = write_archive(p, out.fd, lm_quote(label, output), &out.behind, error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}

static int pack_to_stream(struct packing *p, const char *const *inputs, size_t count,
			  struct lmodel_error *error)
{
	LM_CLOSE int fd = -1;
	int r = import_all(p, NULL, inputs, count, error);

	if (r == LMODEL_OK)
		r = describe(p, NULL, error);
	if (r == LMODEL_OK)
		r = lm_unnamed_file(NULL, &fd, error);
	if (r == LMODEL_OK)
		r = write_archive(p, fd, "temporary file", NULL, error);
	if (r == LMODEL_OK)
		r = lm_copy_out(fd, "temporary file", STDOUT_FILENO, "standard output", error);
	return r;
}

static int check_attachments(const struct lmodel_pack_options *o, struct lmodel_error *error)
{
	for (size_t i = 0; i < o->attach_count; i++) {
		const char *tier = o->attach[i].tier;
		bool known = tier == NULL;

		for (size_t t = 0; o->protect != NULL && t < o->protect->tier_count; t++)
			known |= tier != NULL && strcmp(o->protect->tiers[t].name, tier) == 0;
		if (!known)
			return lm_fail(error, LMODEL_EUSAGE, "%s: there is no tier %s",
				       LM_QUOTE(o->attach[i].path), LM_QUOTE(tier));
	}
	return LMODEL_OK;
}

int lmodel_pack(const char *output, const char *const *inputs, size_t input_count,
		const struct lmodel_pack_options *given, struct lmodel_error *error)
{
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	struct lm_protection protection = { 0 };
	struct packing p = { .options = &options };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	if (options.chunk_bytes == 0)
		options.chunk_bytes = LMODEL_CHUNK_DEFAULT;
	if (options.protect != NULL)
		p.protection = &protection;
	if (input_count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "no input");
	r = lm_check_coding_options(options.level, options.chunk_bytes, error);
	if (r == LMODEL_OK)
		r = check_attachments(&options, error);
	if (r == LMODEL_OK)
		r = lm_crypto_init(error);
	if (r == LMODEL_OK)
		r = strcmp(output, "-") == 0 ? pack_to_stream(&p, inputs, input_count, error) :
					       pack_to_file(&p, output, inputs, input_count, error);
	lm_protection_release(&protection);
	lm_manifest_free(&p.manifest);
	lm_model_free(&p.model);
	free(p.tensor_of);
	free(p.attachment_of);
	free(p.stamps);
	return r;
}
