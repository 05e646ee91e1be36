#include "manifest/manifest.h"

void lm_manifest_free(struct lm_manifest *m)
{
	for (size_t i = 0; i < m->member_count; i++) {
		free(m->members[i].path);
		free(m->members[i].chunks);
	}
	for (size_t i = 0; i < m->source_count; i++) {
		free(m->sources[i].name);
		free(m->sources[i].format);
	}
	for (size_t i = 0; i < m->metadata_count; i++) {
		free(m->metadata[i].key);
		free(m->metadata[i].value);
	}
	for (size_t i = 0; i < m->tensor_count; i++) {
		free(m->tensors[i].name);
		free(m->tensors[i].shape);
	}
	for (size_t i = 0; i < m->attachment_count; i++)
		free(m->attachments[i].name);
	free(m->members);
	free(m->sources);
	free(m->metadata);
	free(m->tensors);
	free(m->attachments);
	free(m->dead);
	free(m->tool);
	free(m->source_format);
	free(m->must_understand);
	free(m->statement);
	*m = (struct lm_manifest){ 0 };
}

uint64_t lm_member_stored(const struct lm_member *m)
{
	return m->length - (uint64_t)m->chunk_count * LM_SHA256_SIZE;
}
