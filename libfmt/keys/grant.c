#include "keys/grant.h"

#include <stdio.h>

#include "crypto/secret.h"

#define HEAD "lmodel-grant-v1\n"

static const char *const roles[] = { "holder", "audit", "owner" };

const char *lm_role_name(enum lmodel_role role)
{
	return roles[role];
}

bool lm_role_parse(const char *name, enum lmodel_role *role)
{
	for (unsigned i = 0; i < LM_COUNT(roles); i++)
		if (strcmp(name, roles[i]) == 0) {
			*role = (enum lmodel_role)i;
			return true;
		}
	return false;
}

/* ---- printing: the buffer is as large as any grant can be ---- */

enum { TEXT_SIZE = 500 + LM_TIER_ROW_LIMIT * (LM_TIER_NAME_LIMIT + 120) };

static size_t put_key(char *out, size_t size, const char *before, const uint8_t key[LM_KEY])
{
	size_t n = (size_t)snprintf(out, size, "%s ", before);

	lm_hex(out + n, key, LM_KEY);
	memcpy(out + n + 2 * LM_KEY, "\n", 2);
	return n + 2 * LM_KEY + 1;
}

static size_t print(char *text, const struct lm_grant *g)
{
	size_t n = (size_t)snprintf(text, TEXT_SIZE, HEAD "archive %s\nrole %s\n", g->archive,
				    lm_role_name(g->role));

	n += put_key(text + n, TEXT_SIZE - n, "owner", g->owner);
	if (g->role == LMODEL_OWNER) {
		n += put_key(text + n, TEXT_SIZE - n, "owner-key", g->owner_key);
		n += put_key(text + n, TEXT_SIZE - n, "owner-seed", g->owner_seed);
	}
	for (size_t i = 0; i < g->tier_count; i++) {
		const struct lm_grant_tier *t = &g->tiers[i];

		n += (size_t)snprintf(text + n, TEXT_SIZE - n, "tier %s gen %ju", t->name,
				      (uintmax_t)t->generation);
		n += put_key(text + n, TEXT_SIZE - n,
			     g->role == LMODEL_AUDITOR ? " poskey" : " key", t->key);
	}
	return n;
}

size_t lm_grant_text_len(const struct lm_grant *grant)
{
	char text[TEXT_SIZE];
	size_t n = print(text, grant);

	lm_wipe(text, sizeof(text));
	return n;
}

char *lm_grant_print(const struct lm_grant *g, struct lmodel_error *error)
{
	char *text = lm_secret_alloc(TEXT_SIZE, error);
	size_t n;

	if (text == NULL)
		return NULL;
	n = print(text, g);
	if (n < g->text_len && g->text_len < TEXT_SIZE) {
		memset(text + n, '\n', g->text_len - n);
		text[g->text_len] = '\0';
	}
	return text;
}

/* ---- parsing ---- */

struct cursor {
	const char *at, *end;
};

static bool skip(struct cursor *c, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0)
		return false;
	c->at += n;
	return true;
}

/* The bytes up to a space or newline, 1 to size-1 of them. */
static bool word(struct cursor *c, char *out, size_t size)
{
	size_t n = 0;

	while (c->at + n < c->end && c->at[n] != ' ' && c->at[n] != '\n')
		n++;
	if (n == 0 || n >= size || memchr(c->at, '\0', n) != NULL)
		return false;
	memcpy(out, c->at, n);
	out[n] = '\0';
	c->at += n;
	return true;
}

static bool number(struct cursor *c, uint64_t *value)
{
	char text[12];

	if (!word(c, text, sizeof(text)) || text[0] < '1' ||
	    strspn(text, "0123456789") != strlen(text))
		return false;
	*value = strtoull(text, NULL, 10);
	return true;
}

static bool key(struct cursor *c, uint8_t out[LM_KEY])
{
	unsigned bad = 0;

	if (c->end - c->at < 2 * LM_KEY)
		return false;
	for (size_t i = 0; i < LM_KEY; i++) {
		unsigned value = 0;

		/* Without a table or a branch on the digit. */
		for (size_t k = 0; k < 2; k++) {
			unsigned d = (unsigned char)c->at[2 * i + k];
			unsigned is_digit = (d - '0') < 10u, is_letter = (d - 'a') < 6u;

			bad |= !(is_digit | is_letter);
			value = value << 4 | ((0u - is_digit) & (d - '0')) |
				((0u - is_letter) & (d - 'a' + 10));
		}
		out[i] = (uint8_t)value;
	}
	c->at += 2 * LM_KEY;
	return bad == 0 && skip(c, "\n");
}

static bool tier_line(struct cursor *c, struct lm_grant *g)
{
	struct lm_grant_tier *t = &g->tiers[g->tier_count];

	if (g->tier_count == LM_TIER_ROW_LIMIT || !skip(c, "tier ") ||
	    !word(c, t->name, sizeof(t->name)) || !lm_tier_name_valid(t->name) ||
	    !skip(c, " gen ") || !number(c, &t->generation) ||
	    !skip(c, g->role == LMODEL_AUDITOR ? " poskey " : " key ") || !key(c, t->key))
		return false;
	for (size_t i = 0; i < g->tier_count; i++)
		if (strcmp(g->tiers[i].name, t->name) == 0)
			return false;
	g->tier_count++;
	return true;
}

static bool parse(struct lm_grant *g, struct cursor *c)
{
	char role[8];

	if (!skip(c, HEAD "archive ") || !word(c, g->archive, sizeof(g->archive)) ||
	    strlen(g->archive) != 36 || !skip(c, "\nrole ") || !word(c, role, sizeof(role)) ||
	    !lm_role_parse(role, &g->role) || !skip(c, "\n"))
		return false;
	if (!skip(c, "owner ") || !key(c, g->owner))
		return false;
	if (g->role == LMODEL_OWNER &&
	    (!skip(c, "owner-key ") || !key(c, g->owner_key) || !skip(c, "owner-seed ") ||
	     !key(c, g->owner_seed)))
		return false;
	while (c->at < c->end && *c->at != '\n')
		if (!tier_line(c, g))
			return false;
	while (c->at < c->end && *c->at == '\n')
		c->at++;
	return c->at == c->end && g->tier_count > 0;
}

int lm_grant_parse(struct lm_grant *grant, const char *text, size_t len, struct lmodel_error *error)
{
	struct cursor c = { .at = text, .end = text + len };

	memset(grant, 0, sizeof(*grant));
	if (parse(grant, &c))
		return LMODEL_OK;
	lm_wipe(grant, sizeof(*grant));
	return lm_fail(error, LMODEL_ECORRUPT, "a grant is malformed");
}
