/* What is looked at: an archive, or a model that is not packed. */
#ifndef VIEW_H
#define VIEW_H

#include <stdbool.h>
#include <stddef.h>

struct lmodel_archive;
struct lmodel_attachment;
struct lmodel_metadata;
struct lmodel_model;
struct lmodel_source;
struct lmodel_tensor;
struct remote_options;

struct view {
	struct lmodel_archive *archive; /* one of both is NULL */
	struct lmodel_model *model;
	size_t tensor_count, attachment_count, source_count, metadata_count;
};

/* Gives the exit status. `notices`: tell what is left out of a directory. */
int view_open(struct view *view, const char *path, bool notices,
	      const struct remote_options *remote);
void view_close(struct view *view);

/* NULL at an index out of range. */
const struct lmodel_tensor *view_tensor(const struct view *view, size_t index);
const struct lmodel_attachment *view_attachment(const struct view *view, size_t index);
const struct lmodel_source *view_source(const struct view *view, size_t index);
const struct lmodel_metadata *view_metadata(const struct view *view, size_t index);

#endif
