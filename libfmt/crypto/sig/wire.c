#include "crypto/sig/wire.h"

#include "crypto/age/base64.h"

bool lm_wire_byte(struct lm_wire *wire, uint8_t *value)
{
	if (wire->left < 1)
		return false;
	*value = *wire->at++;
	wire->left--;
	return true;
}

bool lm_wire_u32(struct lm_wire *wire, uint32_t *value)
{
	const uint8_t *p = wire->at;

	if (wire->left < 4)
		return false;
	*value = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	wire->at += 4;
	wire->left -= 4;
	return true;
}

bool lm_wire_string(struct lm_wire *wire, struct lm_wire *string)
{
	struct lm_wire rest = *wire;
	uint32_t len;

	if (!lm_wire_u32(&rest, &len) || len > rest.left)
		return false;
	*string = (struct lm_wire){ rest.at, len };
	*wire = (struct lm_wire){ rest.at + len, rest.left - len };
	return true;
}

bool lm_wire_is(const struct lm_wire *string, const char *text)
{
	return string->left == strlen(text) && memcmp(string->at, text, string->left) == 0;
}

uint8_t *lm_wire_put_u32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (24 - 8 * i));
	return to + 4;
}

uint8_t *lm_wire_put_string(uint8_t *to, const void *bytes, size_t len)
{
	to = lm_wire_put_u32(to, (uint32_t)len);
	if (len > 0)
		memcpy(to, bytes, len);
	return to + len;
}

bool lm_base64_padded_decode(uint8_t *bytes, size_t *bytes_len, const uint8_t *text, size_t len)
{
	if (len % 4 != 0)
		return false;
	for (int i = 0; i < 2 && len > 0 && text[len - 1] == '='; i++)
		len--;
	*bytes_len = lm_base64_decoded(len);
	return lm_base64_decode(bytes, text, len); /* never overtakes what it reads */
}
