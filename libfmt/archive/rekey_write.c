/* The new shards of tiers that get new keys (spec: 8.10, step 2). */
#include "archive/rekey.h"

#include <unistd.h>

#include "archive/content.h"
#include "archive/shard.h"
#include "base/io.h"
#include "container/tar.h"
#include "crypto/chunked.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

/* Where a stream is bound to, given the length of its plaintext. */
static size_t context_of(const struct rekeying *k, const struct lm_stream_reader *in,
			 const uint8_t base[LM_SHA256_SIZE], uint64_t padded,
			 uint8_t context[LM_ATTACHMENT_CONTEXT])
{
	const struct lm_manifest *old = &k->change.archive->manifest;

	if (in->sealed != NULL)
		return lm_attachment_context(context, &k->next,
					     &k->next.sealed[in->sealed - old->sealed], padded);
	return lm_shard_context(context, &k->next, &k->next.shards[in->shard - old->shards],
				in->kind, base, padded);
}

/* Of an open stream of the old state to its place in the new one. */
static int reseal(struct rekeying *k, struct lm_stream_reader *in, struct lm_stream_row *row,
		  const uint8_t base[LM_SHA256_SIZE], struct lmodel_error *error)
{
	enum { BUFFER = 1 << 16 };
	const struct lm_tier_row *tier = &k->next.tiers[in->tier];
	const struct lm_key_scope scope = { .archive = k->next.id, .tier = tier->name,
					    .generation = tier->generation };
	LM_FREE uint8_t *buffer = malloc(BUFFER);
	struct lm_stream_writer out = { .fd = -1 };
	uint8_t context[LM_ATTACHMENT_CONTEXT], key[LM_KEY];
	size_t got = 0, n;
	int r = buffer == NULL ? lm_fail_memory(error) : LMODEL_OK;

	/* The rows keep their lengths, so the new stream has to be as long as the old one. */
	if (r == LMODEL_OK && lm_sealed_len(lm_padded_len(in->left)) != row->length)
		r = lm_fail(error, LMODEL_EUNSUPPORTED,
			    "%s: a shard is padded in another way than here",
			    k->change.archive->label);
	if (r == LMODEL_OK) {
		n = context_of(k, in, base, lm_padded_len(in->left), context);
		lm_derive(key, k->owner->tiers[in->tier].key,
			  in->kind == LM_POSITIONS ? LM_LABEL_POSITIONS : LM_LABEL_VALUES, &scope);
		r = lm_stream_begin(&out, k->change.fd, k->change.archive->label,
				    tier->offset[in->kind] + row->offset, key, context, n, NULL,
				    in->left, error);
		lm_wipe(key, sizeof(key));
	}
	while (r == LMODEL_OK &&
	       (r = lm_stream_read(in, buffer, BUFFER, &got, error)) == LMODEL_OK && got > 0)
		r = lm_stream_add(&out, buffer, got, error);
	if (r == LMODEL_OK)
		r = lm_stream_finish(&out, row->digest, error);
	lm_stream_release(&out);
	if (buffer != NULL)
		lm_wipe(buffer, BUFFER);
	return r;
}

static int reseal_shard(struct rekeying *k, size_t shard, enum lm_stream kind,
			struct lmodel_error *error)
{
	struct lm_shard_row *row = &k->next.shards[shard];
	uint8_t base[LM_SHA256_SIZE];
	struct lm_stream_reader in = { 0 };
	int r = lm_content_base_digest(&k->next, row->tensor, base, error);

	if (r == LMODEL_OK)
		r = lm_stream_open(&in, k->change.archive, shard, kind, error);
	if (r == LMODEL_OK)
		r = reseal(k, &in, &row->stream[kind], base, error);
	lm_stream_close(&in);
	return r;
}

static int reseal_attachment(struct rekeying *k, size_t sealed, struct lmodel_error *error)
{
	struct lm_stream_reader in = { 0 };
	int r = lm_stream_open_sealed(&in, k->change.archive, sealed, error);

	if (r == LMODEL_OK)
		r = reseal(k, &in, &k->next.sealed[sealed].stream, NULL, error);
	lm_stream_close(&in);
	return r;
}

static int append_member(struct rekeying *k, size_t t, enum lm_stream kind,
			 struct lmodel_error *error)
{
	struct lm_tier_row *tier = &k->next.tiers[t];
	uint8_t header[LM_TAR_HEADER_MAX];
	char path[LM_TIER_PATH_SIZE];
	size_t len;
	int r;

	lm_tier_path(tier, kind, path);
	r = lm_tar_header(path, tier->length[kind], k->next.created,
			  tier->length[kind] >= LM_TAR_PAX_FROM, header, &len, error);
	if (r == LMODEL_OK)
		r = lm_write_at(k->change.fd, k->change.archive->label, header, len, k->end, error);
	tier->offset[kind] = k->end + len;
	for (size_t i = tier->first_shard;
	     i < tier->first_shard + tier->shard_count && r == LMODEL_OK; i++)
		r = reseal_shard(k, i, kind, error);
	for (size_t i = tier->first_sealed; kind == LM_VALUES &&
	     i < tier->first_sealed + tier->sealed_count && r == LMODEL_OK; i++)
		r = reseal_attachment(k, i, error);
	k->end = lm_align(tier->offset[kind] + tier->length[kind], LM_TAR_BLOCK);
	return r;
}

/* Where the appended members end. */
static uint64_t appended_end(const struct rekeying *k)
{
	uint64_t end = k->change.archive->footer.committed_len;

	for (size_t t = 0; t < k->next.tier_count; t++)
		for (int kind = 0; kind < 2 && k->turn[t]; kind++) {
			uint64_t len = k->next.tiers[t].length[kind];

			end += len >= LM_TAR_PAX_FROM ? LM_TAR_HEADER_MAX : LM_TAR_BLOCK;
			end = lm_align(end + len, LM_TAR_BLOCK);
		}
	return end;
}

/* Behind `at` nothing but zeros, `size` of them: what an interrupted append has left goes. The end
 * blocks are there at any moment: somebody may be reading them. */
int lm_rekey_clear_end(const struct rekeying *k, uint64_t at, uint64_t size,
		       struct lmodel_error *error)
{
	static const uint8_t zeros[LM_TAR_END];
	const char *label = k->change.archive->label;
	int fd = k->change.fd, r = lm_write_at(fd, label, zeros, sizeof(zeros), at, error);

	if (r == LMODEL_OK && (ftruncate(fd, (off_t)(at + LM_TAR_END)) != 0 ||
			       ftruncate(fd, (off_t)(at + size)) != 0))
		r = lm_fail_errno(error, "%s: truncate", label);
	return r;
}

/* Behind the committed end, where no reader looks before the commit. All zero at first, so that tar
 * always finds whole members and an end. */
int lm_rekey_append(struct rekeying *k, struct lmodel_error *error)
{
	const struct lmodel_archive *a = k->change.archive;
	const uint64_t end = appended_end(k), from = a->footer.committed_len;
	int r = lm_rekey_clear_end(k, from, end + LM_TAR_END - from, error);

	k->end = from;
	for (size_t t = 0; t < k->next.tier_count && r == LMODEL_OK; t++)
		for (int kind = 0; kind < 2 && k->turn[t] && r == LMODEL_OK; kind++)
			r = append_member(k, t, (enum lm_stream)kind, error);
	if (r == LMODEL_OK && k->end != end)
		r = lm_fail(error, LMODEL_EFAILED, "%s: a shard is not as long as was measured",
			    a->label);
	if (r == LMODEL_OK && fdatasync(k->change.fd) != 0)
		r = lm_fail_errno(error, "%s: sync", a->label);
	k->change.archive->slots.file_size = end + LM_TAR_END;
	return r;
}
