#include "view.h"

#include <string.h>

#include <lmodel.h>

#include "message.h"
#include "remote.h"

static int open_model(struct view *view, const char *path, bool notices)
{
	const struct lmodel_run run = { .notice = notices ? message_from_library : NULL };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_model_info info;

	if (lmodel_model_open(&view->model, path, &run, &error) != LMODEL_OK)
		return message_fail(&error);
	lmodel_model_info(view->model, &info);
	view->tensor_count = info.tensor_count;
	view->attachment_count = info.attachment_count;
	view->source_count = info.source_count;
	view->metadata_count = info.metadata_count;
	return LMODEL_OK;
}

/* What is no model by its start is looked at as an archive, and told to be none. */
int view_open(struct view *view, const char *path, bool notices,
	      const struct remote_options *remote)
{
	struct lmodel_info info;
	int r;

	*view = (struct view){ .archive = NULL };
	if (strcmp(path, "-") != 0 && !lmodel_is_remote(path) && lmodel_model_kind(path) != NULL)
		return open_model(view, path, notices);
	r = remote_open(&view->archive, path, remote);
	if (r != LMODEL_OK)
		return r;
	lmodel_info(view->archive, &info);
	view->tensor_count = info.tensor_count;
	view->attachment_count = info.attachment_count;
	view->source_count = info.source_count;
	view->metadata_count = info.metadata_count;
	return LMODEL_OK;
}

void view_close(struct view *view)
{
	remote_close(view->archive);
	lmodel_model_close(view->model);
}

const struct lmodel_tensor *view_tensor(const struct view *view, size_t index)
{
	return view->archive != NULL ? lmodel_tensor_at(view->archive, index) :
				       lmodel_model_tensor_at(view->model, index);
}

const struct lmodel_attachment *view_attachment(const struct view *view, size_t index)
{
	return view->archive != NULL ? lmodel_attachment_at(view->archive, index) :
				       lmodel_model_attachment_at(view->model, index);
}

const struct lmodel_source *view_source(const struct view *view, size_t index)
{
	return view->archive != NULL ? lmodel_source_at(view->archive, index) :
				       lmodel_model_source_at(view->model, index);
}

const struct lmodel_metadata *view_metadata(const struct view *view, size_t index)
{
	return view->archive != NULL ? lmodel_metadata_at(view->archive, index) :
				       lmodel_model_metadata_at(view->model, index);
}
