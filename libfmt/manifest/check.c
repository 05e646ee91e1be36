/* What holds between the rows of a manifest (spec: 3). */
#include "base/nameset.h"
#include "container/layout.h"
#include "manifest/manifest.h"

struct check {
	const struct lm_manifest *m;
	const char *label;
	struct lmodel_error *error;
};

/* Adds names; fails when one is there. `name_at` is the offset of the char * in an element. */
static int add_names(const struct check *c, const char *what, const void *array, size_t count,
		     size_t element, size_t name_at, struct lm_nameset *names)
{
	for (size_t i = 0; i < count; i++) {
		const char *text;

		memcpy(&text, (const char *)array + i * element + name_at, sizeof(text));
		if (!lm_nameset_add(names, text, i))
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: two %s are named %s", c->label, what,
				       LM_QUOTE(text));
	}
	return LMODEL_OK;
}

#define ADD(c, what, names, rows, count, name) \
	add_names(c, what, rows, count, sizeof(*(rows)), \
		  offsetof(__typeof__(*(rows)), name), names)

/* No file is a directory of another: they come out into one directory. */
static int check_parents(const struct check *c, const struct lm_nameset *files, const char *name)
{
	LM_FREE char *parent = lm_strdup(name, c->error);

	if (parent == NULL)
		return LMODEL_EFAILED;
	for (char *slash = strrchr(parent, '/'); slash != NULL; slash = strrchr(parent, '/')) {
		*slash = '\0';
		if (lm_nameset_find(files, parent) != SIZE_MAX)
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: %s is the name of a file and of a directory",
				       c->label, LM_QUOTE(parent));
	}
	return LMODEL_OK;
}

/* Sources and attachments come out into one directory, so they share their names. */
static int check_files(const struct check *c, struct lm_nameset *files)
{
	const struct lm_manifest *m = c->m;
	int r = ADD(c, "sources", files, m->sources, m->source_count, name);

	if (r == LMODEL_OK)
		r = ADD(c, "files", files, m->attachments, m->attachment_count, name);
	if (r == LMODEL_OK)
		r = ADD(c, "files", files, m->sealed, m->sealed_count, name);
	for (size_t i = 0; i < m->source_count && r == LMODEL_OK; i++)
		r = check_parents(c, files, m->sources[i].name);
	for (size_t i = 0; i < m->attachment_count && r == LMODEL_OK; i++)
		r = check_parents(c, files, m->attachments[i].name);
	for (size_t i = 0; i < m->sealed_count && r == LMODEL_OK; i++)
		r = check_parents(c, files, m->sealed[i].name);
	return r;
}

/* `tensors` is for the caller to keep. */
static int check_names(const struct check *c, struct lm_nameset *tensors)
{
	const struct lm_manifest *m = c->m;
	struct lm_nameset paths = { 0 }, files = { 0 };
	int r = lm_nameset_init(tensors, m->tensor_count, c->error);

	if (r == LMODEL_OK)
		r = ADD(c, "tensors", tensors, m->tensors, m->tensor_count, name);
	if (r == LMODEL_OK)
		r = lm_nameset_init(&paths, m->member_count, c->error);
	/* Members of the tar: rows that are joined have no path of their own. */
	for (size_t i = 0; i < m->member_count && r == LMODEL_OK; i++)
		if (!m->members[i].joined)
			r = ADD(c, "members", &paths, &m->members[i], 1, path);
	lm_nameset_free(&paths);
	if (r == LMODEL_OK)
		r = lm_nameset_init(&files, m->source_count + m->attachment_count + m->sealed_count,
				    c->error);
	if (r == LMODEL_OK)
		r = check_files(c, &files);
	lm_nameset_free(&files);
	return r;
}

/* Every member is used by exactly one row. */
static int check_members(const struct check *c)
{
	const struct lm_manifest *m = c->m;
	LM_FREE uint8_t *used = calloc(m->member_count + 1, 1);
	bool twice = false;

	if (used == NULL)
		return lm_fail_memory(c->error);
	for (size_t i = 0; i < m->tensor_count; i++)
		if (m->tensors[i].member != LM_NONE)
			twice |= used[m->tensors[i].member]++ != 0;
	for (size_t i = 0; i < m->attachment_count; i++)
		twice |= used[m->attachments[i].member]++ != 0;
	for (size_t i = 0; i < m->source_count; i++)
		twice |= used[m->sources[i].skeleton]++ != 0;
	if (twice)
		return lm_fail(c->error, LMODEL_ECORRUPT, "%s: manifest: a member is used twice",
			       c->label);
	for (size_t i = 0; i < m->member_count; i++)
		if (!used[i])
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: member %s is not used", c->label,
				       LM_QUOTE(m->members[i].path));
	return LMODEL_OK;
}

/* Live data does not overlap, each behind a tar header; dead ranges lie in order between it.
 * Both lists are sorted, so one pass does. */
static int check_places(const struct check *c)
{
	const struct lm_manifest *m = c->m;
	LM_FREE struct lm_extent *live = NULL;
	size_t live_count, next = 0;
	uint64_t end = 0;

	if (lm_manifest_extents(m, &live, &live_count, c->error))
		return LMODEL_EFAILED;
	for (size_t i = 1; i < live_count; i++)
		if (live[i].offset <
		    lm_align(live[i - 1].offset + live[i - 1].length, LM_TAR_BLOCK) + LM_TAR_BLOCK)
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: members overlap at %ju", c->label,
				       (uintmax_t)live[i].offset);
	for (size_t i = 0; i < m->dead_count; i++) {
		const struct lm_dead_row *d = &m->dead[i];

		while (next < live_count && live[next].offset + live[next].length <= d->offset)
			next++;
		/* Nor the tar header in front of what lives. */
		if (d->offset < end || (next < live_count && live[next].offset <
				        lm_align(d->offset + d->length, LM_TAR_BLOCK) +
				        LM_TAR_BLOCK))
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: dead %zu: overlaps live data", c->label, i);
		end = d->offset + d->length;
	}
	return LMODEL_OK;
}

/* The names of what else is in the tar: it would come out twice under one name. */
static bool is_taken(const struct lm_manifest *m, const char *path)
{
	return strcmp(path, LM_MIMETYPE_MEMBER) == 0 || strcmp(path, LM_SLOT_A_MEMBER) == 0 ||
	       strcmp(path, LM_SLOT_B_MEMBER) == 0 ||
	       (m->tier_count > 0 && strncmp(path, "shard/", 6) == 0);
}

/* Members in the tar have names of their own. */
static int check_paths(const struct check *c)
{
	const struct lm_manifest *m = c->m;

	for (size_t i = 0; i < m->member_count; i++)
		if (is_taken(m, m->members[i].path))
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: member %s has the name of a shard or of the "
				       "manifest", c->label, LM_QUOTE(m->members[i].path));
	return LMODEL_OK;
}

int lm_manifest_check(struct lm_manifest *m, const char *label, struct lmodel_error *error)
{
	const struct check c = { .m = m, .label = label, .error = error };
	int r = check_names(&c, &m->tensor_names);

	if (r == LMODEL_OK)
		r = check_members(&c);
	if (r == LMODEL_OK)
		r = check_places(&c);
	if (r == LMODEL_OK)
		r = check_paths(&c);
	return r;
}
