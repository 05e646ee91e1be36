#include "keys/book.h"

#include <stdio.h>

#include "crypto/chunked.h"
#include "crypto/secret.h"

#define HEAD "lmodel-book-v1\n"
#define EXPOSED "exposed\t"

enum { FIELDS = 6, LABEL_LIMIT = 1024 };

/* ---- the text: a line an entry, fields between tabs ---- */

static char *print(const struct lm_book *b, size_t *len, struct lmodel_error *error)
{
	size_t size = sizeof(HEAD), used = sizeof(HEAD) - 1;
	char *text;

	for (size_t i = 0; i < b->count; i++)
		size += 2 * LM_SHA256_SIZE + 40 + strlen(b->entries[i].tier) +
			strlen(b->entries[i].recipient) + strlen(b->entries[i].label);
	size += b->exposed_count * (sizeof(EXPOSED) + LM_TIER_NAME_LIMIT + 1);
	text = lm_secret_alloc(size, error);
	if (text == NULL)
		return NULL;
	memcpy(text, HEAD, sizeof(HEAD));
	for (size_t i = 0; i < b->exposed_count; i++)
		used += (size_t)snprintf(text + used, size - used, EXPOSED "%s\n", b->exposed[i]);
	for (size_t i = 0; i < b->count; i++) {
		const struct lm_book_entry *e = &b->entries[i];

		lm_hex(text + used, e->slot, sizeof(e->slot));
		used += 2 * sizeof(e->slot);
		used += (size_t)snprintf(text + used, size - used, "\t%s\t%s\t%jd\t%s\t%s\n",
					 lm_role_name(e->role), e->tier, (intmax_t)e->since,
					 e->recipient, e->label);
	}
	*len = used;
	return text;
}

static bool hex_digest(const char *text, uint8_t digest[LM_SHA256_SIZE])
{
	char back[2 * LM_SHA256_SIZE + 1];

	if (strlen(text) != 2 * LM_SHA256_SIZE)
		return false;
	for (size_t i = 0; i < LM_SHA256_SIZE; i++) {
		char pair[3] = { text[2 * i], text[2 * i + 1], '\0' };

		digest[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	lm_hex(back, digest, LM_SHA256_SIZE);
	return strcmp(back, text) == 0;
}

static int append(struct lm_book *b, const struct lm_book_entry *given, const char *recipient,
		  const char *label, struct lmodel_error *error)
{
	struct lm_book_entry *e;

	if (lm_grow(&b->entries, b->count, &b->capacity, sizeof(*b->entries), error))
		return LMODEL_EFAILED;
	e = &b->entries[b->count++];
	*e = *given;
	e->recipient = lm_strdup(recipient, error);
	e->label = lm_strdup(label, error);
	return e->recipient == NULL || e->label == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

/* Whoever sealed it had the owner key, so this only guards against our own mistakes. */
static int parse_line(struct lm_book *b, char *line, struct lmodel_error *error)
{
	struct lm_book_entry e = { 0 };
	char *field[FIELDS], *end;

	if (strncmp(line, EXPOSED, sizeof(EXPOSED) - 1) == 0) {
		if (!lm_tier_name_valid(line + sizeof(EXPOSED) - 1))
			return lm_fail(error, LMODEL_ECORRUPT, "the customer book is malformed");
		lm_book_expose(b, line + sizeof(EXPOSED) - 1, true);
		return LMODEL_OK;
	}
	for (int i = 0; i < FIELDS; i++) {
		field[i] = line;
		line += strcspn(line, "\t");
		if ((*line == '\0') != (i == FIELDS - 1))
			return lm_fail(error, LMODEL_ECORRUPT, "the customer book is malformed");
		if (*line != '\0')
			*line++ = '\0';
	}
	e.since = strtoll(field[3], &end, 10);
	if (!hex_digest(field[0], e.slot) || !lm_role_parse(field[1], &e.role) || *end != '\0' ||
	    strlen(field[2]) >= sizeof(e.tier))
		return lm_fail(error, LMODEL_ECORRUPT, "the customer book is malformed");
	memcpy(e.tier, field[2], strlen(field[2]) + 1);
	return append(b, &e, field[4], field[5], error);
}

static int parse(struct lm_book *b, char *text, size_t len, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	if (len < sizeof(HEAD) - 1 || memcmp(text, HEAD, sizeof(HEAD) - 1) != 0 ||
	    text[len - 1] != '\n' || memchr(text, '\0', len) != NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "the customer book is malformed");
	for (char *at = text + sizeof(HEAD) - 1, *end; at < text + len && r == LMODEL_OK;
	     at = end + 1) {
		end = memchr(at, '\n', (size_t)(text + len - at));
		*end = '\0';
		r = parse_line(b, at, error);
	}
	return r;
}

/* ---- sealing ---- */

/* Bound to the archive and to the counter beside it: no older book and no other archive's. */
static size_t context(uint8_t out[128], const struct lm_manifest *m)
{
	int n = snprintf((char *)out, 100, "lmodel/1/book%c%s%c", 0, m->id, 0);

	lm_put_u64(out + n, m->owner.book_counter);
	return (size_t)n + 8;
}

static void book_key(uint8_t key[LM_KEY], const struct lm_manifest *m,
		     const uint8_t owner_key[LM_KEY])
{
	const struct lm_key_scope scope = { .archive = m->id, .tier = "" };

	lm_derive(key, owner_key, LM_LABEL_BOOK, &scope);
}

int lm_book_open_bytes(struct lm_book *book, const uint8_t *sealed, size_t sealed_len,
		       const uint8_t key[LM_KEY], const void *about, size_t about_len,
		       struct lmodel_error *error)
{
	uint8_t *plain = NULL;
	size_t len = 0;
	int r;

	*book = (struct lm_book){ 0 };
	if (lm_open_message(key, about, about_len, sealed, sealed_len, &plain, &len, NULL))
		return lm_fail(error, LMODEL_ECORRUPT, "the customer book is not the one that its "
			       "owner sealed");
	if (len < LM_FRAME_HEAD || lm_get_u64(plain) > len - LM_FRAME_HEAD)
		r = lm_fail(error, LMODEL_ECORRUPT, "the customer book is malformed");
	else
		r = parse(book, (char *)plain + LM_FRAME_HEAD, (size_t)lm_get_u64(plain), error);
	lm_secret_free(plain);
	if (r != LMODEL_OK)
		lm_book_free(book);
	return r;
}

int lm_book_seal_bytes(const struct lm_book *book, const uint8_t key[LM_KEY], const void *about,
		       size_t about_len, const uint8_t *salt, uint8_t **sealed, size_t *sealed_len,
		       struct lmodel_error *error)
{
	size_t len, padded;
	LM_SECRET char *text = print(book, &len, error);
	LM_SECRET uint8_t *frame = NULL;

	if (text == NULL)
		return LMODEL_EFAILED;
	padded = (size_t)lm_padded_len(len);
	frame = lm_secret_alloc(padded, error);
	if (frame == NULL)
		return LMODEL_EFAILED;
	lm_put_u64(frame, len);
	memcpy(frame + LM_FRAME_HEAD, text, len);
	return lm_seal_message(key, about, about_len, salt, frame, padded, sealed, sealed_len,
			       error);
}

int lm_book_open(struct lm_book *book, const struct lm_manifest *m, const uint8_t owner_key[LM_KEY],
		 struct lmodel_error *error)
{
	uint8_t key[LM_KEY], about[128];
	int r;

	book_key(key, m, owner_key);
	r = lm_book_open_bytes(book, m->owner.book, m->owner.book_len, key, about,
			       context(about, m), error);
	lm_wipe(key, sizeof(key));
	return r;
}

int lm_book_seal(const struct lm_book *book, struct lm_manifest *m, const uint8_t owner_key[LM_KEY],
		 const uint8_t *salt, struct lmodel_error *error)
{
	uint8_t key[LM_KEY], about[128], *sealed;
	size_t len;
	int r;

	book_key(key, m, owner_key);
	r = lm_book_seal_bytes(book, key, about, context(about, m), salt, &sealed, &len, error);
	lm_wipe(key, sizeof(key));
	if (r != LMODEL_OK)
		return r;
	free(m->owner.book);
	m->owner.book = sealed;
	m->owner.book_len = len;
	return LMODEL_OK;
}

/* ---- entries ---- */

int lm_book_add(struct lm_book *book, const uint8_t slot[LM_SHA256_SIZE],
		const struct lmodel_grantee *who, const char *recipient, int64_t since,
		struct lmodel_error *error)
{
	struct lm_book_entry e = { .role = who->role, .since = since };
	const char *label = who->label != NULL ? who->label : "";

	for (const char *c = label; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return lm_fail(error, LMODEL_EUSAGE,
				       "a label may not hold control characters");
	if (strlen(label) > LABEL_LIMIT || !lm_utf8_valid(label, strlen(label)))
		return lm_fail(error, LMODEL_EUSAGE, "a label is at most %d bytes of UTF-8",
			       LABEL_LIMIT);
	memcpy(e.slot, slot, sizeof(e.slot));
	if (who->role == LMODEL_HOLDER)
		snprintf(e.tier, sizeof(e.tier), "%s", who->tier);
	return append(book, &e, recipient, label, error);
}

static void free_entry(struct lm_book_entry *e)
{
	free(e->recipient);
	free(e->label);
}

void lm_book_remove(struct lm_book *book, size_t index)
{
	free_entry(&book->entries[index]);
	memmove(&book->entries[index], &book->entries[index + 1],
		(book->count - index - 1) * sizeof(*book->entries));
	book->count--;
}

void lm_book_expose(struct lm_book *b, const char *tier, bool exposed)
{
	size_t at = 0;

	while (at < b->exposed_count && strcmp(b->exposed[at], tier) != 0)
		at++;
	if (exposed && at == b->exposed_count && at < LM_TIER_ROW_LIMIT) {
		memcpy(b->exposed[at], tier, strlen(tier) + 1);
		b->exposed_count++;
	} else if (!exposed && at < b->exposed_count) {
		memmove(b->exposed[at], b->exposed[at + 1],
			(b->exposed_count - at - 1) * sizeof(b->exposed[0]));
		b->exposed_count--;
	}
}

const struct lm_book_entry *lm_book_find(const struct lm_book *book, const struct lm_slot_row *slot)
{
	uint8_t digest[LM_SHA256_SIZE];

	lm_slot_digest(slot, digest);
	for (size_t i = 0; i < book->count; i++)
		if (memcmp(book->entries[i].slot, digest, sizeof(digest)) == 0)
			return &book->entries[i];
	return NULL;
}

void lm_book_free(struct lm_book *book)
{
	for (size_t i = 0; i < book->count; i++)
		free_entry(&book->entries[i]);
	free(book->entries);
	*book = (struct lm_book){ 0 };
}
