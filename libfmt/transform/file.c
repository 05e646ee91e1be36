/* lmodel_transform_file(): what kind of file it is, and where it goes. */
#include <fcntl.h>

#include "base/io.h"
#include "base/publish.h"
#include "transform/picture.h"

static int convert(const struct lm_picture_job *job, struct lmodel_error *error)
{
	bool png, npy;
	int r = lm_input_begins(job->in, "\x89PNG\r\n\x1a\n", 8, &png, error);

	if (r == LMODEL_OK)
		r = lm_input_begins(job->in, LM_NPY_MAGIC, 6, &npy, error);
	if (r != LMODEL_OK)
		return r;
	if (!png && !npy)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: is neither a PNG nor a .npy file",
			       job->in->label);
	return png ? lm_picture_png(job, error) : lm_picture_npy(job, error);
}

static int to_file(struct lm_picture_job *job, const char *path, struct lmodel_error *error)
{
	struct lm_output out = LM_OUTPUT_INIT;
	int r = lm_output_begin(&out, path, job->options->replace, error);

	job->out = out.fd;
	if (r == LMODEL_OK)
		r = convert(job, error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}

int lmodel_transform_file(const struct lmodel_transform *transform, const char *in, const char *out,
			  const struct lmodel_transform_options *options,
			  const struct lmodel_run *run, struct lmodel_error *error)
{
	static const struct lmodel_transform_options plain;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	LM_FREE struct lm_input *input = calloc(1, sizeof(*input));
	LM_CLOSE int fd = -1;
	bool from_stdin = strcmp(in, "-") == 0, to_stdout = strcmp(out, "-") == 0;
	char in_label[LM_QUOTE_SIZE], out_label[LM_QUOTE_SIZE];
	struct lm_picture_job job = {
		.transform = transform, .options = options != NULL ? options : &plain, .run = run,
		.in = input, .out = STDOUT_FILENO,
		.out_label = to_stdout ? "standard output" : lm_quote(out_label, out),
	};
	uint64_t size;

	error = error != NULL ? error : &local;
	if (input == NULL)
		return lm_fail_memory(error);
	if (!from_stdin && lm_open_regular(in, O_RDONLY, &fd, &size, error))
		return (int)error->code;
	input->fd = from_stdin ? STDIN_FILENO : fd;
	input->label = from_stdin ? "standard input" : lm_quote(in_label, in);
	return to_stdout ? convert(&job, error) : to_file(&job, out, error);
}
