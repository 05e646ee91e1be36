/* What holds between the rows of a manifest (spec: 3). */
#include "base/names.h"
#include "container/layout.h"
#include "manifest/manifest.h"

struct check {
	const struct lm_manifest *m;
	const char *label;
	struct lmodel_error *error;
};

static int check_sorted(const struct check *c, const char *what, struct lm_name *names,
			size_t count)
{
	lm_names_sort(names, count);
	for (size_t i = 1; i < count; i++)
		if (strcmp(names[i - 1].text, names[i].text) == 0)
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: two %s are named %s", c->label, what,
				       LM_QUOTE(names[i].text));
	return LMODEL_OK;
}

/* Fails when two of the names are equal. `name_at` is the offset of the char * in an element. */
static int check_unique(const struct check *c, const char *what, const void *array, size_t count,
			size_t element, size_t name_at, struct lm_name *names, size_t have)
{
	for (size_t i = 0; i < count; i++)
		memcpy(&names[have + i].text, (const char *)array + i * element + name_at,
		       sizeof(char *));
	return check_sorted(c, what, names, count + have);
}

/* Members of the tar: rows that are joined have no path of their own. */
static int check_unique_paths(const struct check *c, struct lm_name *names)
{
	const struct lm_manifest *m = c->m;
	size_t count = 0;

	for (size_t i = 0; i < m->member_count; i++)
		if (!m->members[i].joined)
			names[count++].text = m->members[i].path;
	return check_sorted(c, "members", names, count);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct lm_name *)a)->text, ((const struct lm_name *)b)->text);
}

/* No file is a directory of another: they come out into one directory. `names` is sorted, but
 * "a", "a-b", "a/b" are not neighbours, so each parent is looked up. */
static int check_parents(const struct check *c, const struct lm_name *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		LM_FREE char *parent = lm_strdup(names[i].text, c->error);
		const struct lm_name key = { .text = parent };

		if (parent == NULL)
			return LMODEL_EFAILED;
		for (char *slash = strrchr(parent, '/'); slash != NULL;
		     slash = strrchr(parent, '/')) {
			*slash = '\0';
			if (bsearch(&key, names, count, sizeof(*names), by_text) != NULL)
				return lm_fail(
					c->error, LMODEL_ECORRUPT,
					"%s: manifest: %s is the name of a file and of a directory",
					c->label, LM_QUOTE(parent));
		}
	}
	return LMODEL_OK;
}

static int check_names(const struct check *c)
{
	const struct lm_manifest *m = c->m;
	const size_t most_files = m->source_count + m->attachment_count + m->sealed_count;
	size_t most = LM_MAX(LM_MAX(m->member_count, m->tensor_count), most_files);
	LM_FREE struct lm_name *names = calloc(most + 1, sizeof(*names));

	if (names == NULL)
		return lm_fail_memory(c->error);
	/* Sources and attachments come out into one directory, so they share their names. */
	if (check_unique(c, "tensors", m->tensors, m->tensor_count, sizeof(*m->tensors),
			 offsetof(struct lm_tensor_row, name), names, 0) ||
	    check_unique_paths(c, names) ||
	    check_unique(c, "sources", m->sources, m->source_count, sizeof(*m->sources),
			 offsetof(struct lm_source_row, name), names, 0) ||
	    check_unique(c, "files", m->attachments, m->attachment_count, sizeof(*m->attachments),
			 offsetof(struct lm_attachment_row, name), names, m->source_count) ||
	    check_unique(c, "files", m->sealed, m->sealed_count, sizeof(*m->sealed),
			 offsetof(struct lm_sealed_row, name), names,
			 m->source_count + m->attachment_count))
		return (int)c->error->code;
	return check_parents(c, names, most_files);
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

/* Members in the tar have names of their own. */
static int check_paths(const struct check *c)
{
	const struct lm_manifest *m = c->m;

	for (size_t i = 0; i < m->member_count; i++)
		if (m->tier_count > 0 && strncmp(m->members[i].path, "shard/", 6) == 0)
			return lm_fail(c->error, LMODEL_ECORRUPT,
				       "%s: manifest: member %s has the name of a shard", c->label,
				       LM_QUOTE(m->members[i].path));
	return LMODEL_OK;
}

int lm_manifest_check(const struct lm_manifest *m, const char *label, struct lmodel_error *error)
{
	const struct check c = { .m = m, .label = label, .error = error };
	int r = check_names(&c);

	if (r == LMODEL_OK)
		r = check_members(&c);
	if (r == LMODEL_OK)
		r = check_places(&c);
	if (r == LMODEL_OK)
		r = check_paths(&c);
	return r;
}
