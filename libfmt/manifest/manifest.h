/* The manifest as structs, and to and from its SQLite image (spec: 3). */
#ifndef LM_MANIFEST_H
#define LM_MANIFEST_H

#include "base/arena.h"
#include "base/base.h"
#include "base/dtype.h"
#include "base/format.h"
#include "base/nameset.h"
#include "codec/codec.h"
#include "crypto/crypto.h"

#define LM_NONE SIZE_MAX /* no such row */

/* Entry of a chunk index. */
#define LM_CHUNK_LEN_BITS 28
#define LM_CHUNK_LEN_MASK ((UINT32_C(1) << LM_CHUNK_LEN_BITS) - 1)

struct lm_member {
	char *path;              /* in the tar; of a joined row that of the row before, not its own */
	bool joined;             /* the data are in the tar member of the row before, behind its */
	uint64_t offset, length;
	uint64_t bytes;
	char coding_name[4];
	struct lm_coding coding;
	uint64_t chunk_bytes;
	uint32_t chunk_count;    /* bytes / chunk_bytes, rounded up */
	uint32_t *chunks;        /* method << 28 | stored length */
	uint8_t digest[LM_SHA256_SIZE];
};

struct lm_source_row {
	char *name, *format;
	uint64_t bytes;
	size_t skeleton;
};

struct lm_metadata_row {
	size_t source;
	char *key, *value;
};

struct lm_tensor_row {
	char *name;
	const struct lm_dtype *dtype;
	unsigned rank;
	uint64_t *shape;
	uint64_t elements, bytes;
	size_t source;
	size_t member;           /* LM_NONE for an alias */
	size_t alias;            /* LM_NONE unless an alias */
};

struct lm_attachment_row {
	char *name;
	size_t member;
};

/* One stream of a shard: its ciphertext, in the tier's member of that kind. */
struct lm_stream_row {
	uint64_t offset;         /* in the data of that member */
	uint64_t length;
	uint8_t digest[LM_SHA256_SIZE];
};

enum lm_stream { LM_POSITIONS, LM_VALUES };

/* Limits (spec: 9). */
#define LM_TIER_ROW_LIMIT 16u
#define LM_SLOT_ROW_LIMIT 65536u
#define LM_SLOT_ID_LIMIT 1000000000u
#define LM_GRANT_LIMIT 16384u                   /* bytes of a key slot's age file */
#define LM_BOOK_LIMIT (UINT64_C(1) << 28)

#define LM_FEATURE_FORMATS "formats" /* a source of another format than safetensors */
#define LM_FEATURE_TIERS "tiers"
/* Masks that are features of the same name (spec: 3.2). */
#define LM_MASK_DEEP_LOCK "deep-lock"
#define LM_MASK_PERTURB "perturb"
#define LM_MASK_BY_REFERENCE "reference" /* needs no feature */
#define LM_TIER_NAME_LIMIT 64u

struct lm_shard_row {
	size_t tier, tensor;
	char unit[8];
	struct lm_stream_row stream[2];
};

/* A side file in a tier: a stream behind the values of the tier's shards. */
struct lm_sealed_row {
	char *name;
	size_t tier;
	struct lm_stream_row stream;
};

struct lm_tier_row {
	char *name;
	uint64_t generation;
	char *selection, *mask, *unit, *scope, *amount;
	uint8_t key_commitment[LM_SHA256_SIZE], position_commitment[LM_SHA256_SIZE];
	uint8_t key_mac[LM_SHA256_SIZE], position_mac[LM_SHA256_SIZE];
	bool absent;
	uint64_t offset[2];      /* of the member of each kind of stream, unless absent */
	uint64_t length[2];      /* sum of its streams */
	size_t first_shard, shard_count;
	size_t first_sealed, sealed_count;
};

struct lm_slot_row {
	unsigned id;             /* 1 or more, ascending, not without gaps */
	char *kind;
	uint8_t *grant;
	size_t grant_len;
	uint8_t *identity;       /* NULL unless a passphrase slot */
	size_t identity_len;
};

struct lm_owner_row {
	bool present;
	uint8_t public_key[32], signature[64];
	uint64_t book_counter;
	uint8_t *book;
	size_t book_len;
};

#define LM_SIGNATURE_ROW_LIMIT 64u
#define LM_SIGNATURE_FILE_LIMIT 16384u

struct lm_signature_row {
	char *kind;
	uint8_t *bytes;
	size_t len;
};

struct lm_dead_row {
	uint64_t offset, length;
	bool pending;
};

struct lm_manifest {
	char id[37];
	uint32_t format;
	uint64_t content_generation;
	int64_t created;
	char *tool, *source_format, *must_understand, *statement;
	struct lm_member *members;
	size_t member_count;
	struct lm_source_row *sources;
	size_t source_count;
	struct lm_metadata_row *metadata;
	size_t metadata_count;
	struct lm_tensor_row *tensors;
	size_t tensor_count;
	struct lm_attachment_row *attachments;
	size_t attachment_count;
	struct lm_dead_row *dead;
	size_t dead_count;
	struct lm_tier_row *tiers;
	size_t tier_count;
	struct lm_shard_row *shards;
	size_t shard_count;
	struct lm_sealed_row *sealed;
	size_t sealed_count;
	struct lm_slot_row *slots;
	size_t slot_count;
	struct lm_owner_row owner;
	struct lm_signature_row *signatures;
	size_t signature_count;
	/* Of a manifest that was loaded: */
	struct lm_nameset tensor_names;
	struct lm_arena arena;   /* paths, names, shapes, chunk indices */
};

/* Live data of the tar: a member, or a kind of stream of a tier. */
struct lm_extent {
	uint64_t offset, length;
	size_t member, tier;     /* one is LM_NONE; the first of `rows` members */
	size_t rows;             /* 0 for a tier's */
	enum lm_stream stream;
};

/* All of them by offset, in fresh memory. */
int lm_manifest_extents(const struct lm_manifest *manifest, struct lm_extent **extents,
			size_t *count, struct lmodel_error *error) LM_MUST_CHECK;

/* Path of a tier's member of that kind in the tar: at most 100 bytes. */
#define LM_TIER_PATH_SIZE 101
void lm_tier_path(const struct lm_tier_row *tier, enum lm_stream stream,
		  char path[LM_TIER_PATH_SIZE]);
bool lm_tier_name_valid(const char *name);
void lm_slot_row_free(struct lm_slot_row *slot);
void lm_signature_row_free(struct lm_signature_row *signature);

/* SHA-256 over kind, grant and identity: what the customer book knows a slot by. */
void lm_slot_digest(const struct lm_slot_row *slot, uint8_t digest[LM_SHA256_SIZE]);

/* Whether the loader takes this as a tier's amount. */
#define LM_AMOUNT_LIMIT 64u
bool lm_amount_valid(const char *amount);

void lm_manifest_free(struct lm_manifest *manifest);

/* Whether `name` is a line of the text of features. */
bool lm_feature_in(const char *features, const char *name);

/* Bytes of the list of digests behind the chunks: the digest of one chunk is in the row (spec: 4). */
static inline uint64_t lm_member_list(const struct lm_member *m)
{
	return m->chunk_count > 1 ? (uint64_t)m->chunk_count * LM_SHA256_SIZE : 0;
}

/* Stored bytes of the chunks of a member, without the list behind them. */
uint64_t lm_member_stored(const struct lm_member *member);

/* The path as the manifest has it: empty where the row is joined to the one before (spec: 3.3). */
static inline const char *lm_member_own_path(const struct lm_member *m)
{
	return m->joined ? "" : m->path;
}

/* Raw length of chunk `index`. */
static inline size_t lm_member_chunk_raw(const struct lm_member *m, uint32_t index)
{
	uint64_t at = (uint64_t)index * m->chunk_bytes;

	return (size_t)LM_MIN(m->chunk_bytes, m->bytes - at);
}

/* The member that holds the bytes of tensor `index`, aliases followed. */
static inline size_t lm_manifest_member_of(const struct lm_manifest *m, size_t index)
{
	return m->tensors[index].alias != LM_NONE ? m->tensors[m->tensors[index].alias].member :
						    m->tensors[index].member;
}

/* The tensor itself, or the one that it is an alias of: whose shards count. */
static inline size_t lm_manifest_original(const struct lm_manifest *m, size_t index)
{
	return m->tensors[index].alias != LM_NONE ? m->tensors[index].alias : index;
}

/* Whether LM_FEATURE_FORMATS has to be named. */
bool lm_manifest_has_formats(const struct lm_manifest *manifest);

/* Makes the text of must_understand from the rows of sources and tiers. */
int lm_manifest_set_features(struct lm_manifest *manifest,
			     struct lmodel_error *error) LM_MUST_CHECK;

/* Makes the image: a fresh database without a free page, so nothing of an earlier one is in
 * it (spec: 3.1). `*image` is freed with lm_manifest_image_free(). */
int lm_manifest_store(const struct lm_manifest *manifest, uint8_t **image, uint64_t *len,
		      struct lmodel_error *error) LM_MUST_CHECK;
void lm_manifest_image_free(uint8_t *image);

/* The same where nothing but key slots, owner and signatures differs from `before`, an image that
 * was loaded: these tables are made anew in a copy of it. `*image` NULL: that would leave free pages,
 * or put a table in another place than the schema has it, so it takes lm_manifest_store(). */
int lm_manifest_store_keys(const struct lm_manifest *manifest, const uint8_t *before,
			   uint64_t before_len, uint8_t **image, uint64_t *len,
			   struct lmodel_error *error) LM_MUST_CHECK;

/* Whether an image that lm_manifest_store_keys() made opens, and holds the keys of `manifest`.
 * Its other tables are not looked at. */
int lm_manifest_check_keys(const struct lm_manifest *manifest, const uint8_t *image, uint64_t len,
			   const char *label, struct lmodel_error *error) LM_MUST_CHECK;

/* Checks loaded rows against each other: names are unique, every member is used once, dead
 * ranges lie between members. Makes tensor_names. Part of lm_manifest_load(). */
int lm_manifest_check(struct lm_manifest *manifest, const char *label,
		      struct lmodel_error *error) LM_MUST_CHECK;

/* Reads an untrusted image and checks every row against the others and against a file of
 * `committed_len` bytes whose members begin at `members_begin`. The statement is not compared
 * with the content here (archive/content.h). `label` is for messages. */
int lm_manifest_load(struct lm_manifest *manifest, const uint8_t *image, uint64_t len,
		     uint64_t members_begin, uint64_t committed_len, const char *label,
		     struct lmodel_error *error) LM_MUST_CHECK;

#endif
