#include "transfers.h"

#include <inttypes.h>
#include <string.h>

#include "cmd.h"
#include "json.h"
#include "message.h"
#include "text.h"

static json_t *layers;

static const char *const fates[] = {
	[LMODEL_LAYER_SENT] = "sent",
	[LMODEL_LAYER_MOUNTED] = "mounted",
	[LMODEL_LAYER_THERE] = "there",
	[LMODEL_LAYER_FETCHED] = "fetched",
	[LMODEL_LAYER_COPIED] = "copied",
	[LMODEL_LAYER_LEFT] = "left",
};

void transfers_begin(json_t *list)
{
	layers = list;
}

void transfers_layer(void *context, const struct lmodel_layer *layer)
{
	json_t *object;

	(void)context;
	message_detail("%-7s %14" PRIu64 " bytes at %-14" PRIu64 " %s%s%s", fates[layer->fate],
		       layer->length, layer->offset, layer->kind, layer->tier != NULL ? " " : "",
		       layer->tier != NULL ? layer->tier : "");
	if (layers == NULL)
		return;
	object = json_object();
	json_put(object, "kind", json_text(layer->kind));
	json_put(object, "tier", json_text(layer->tier));
	json_put(object, "digest", json_text(layer->digest));
	json_put(object, "offset", json_number(layer->offset));
	json_put(object, "bytes", json_number(layer->length));
	json_put(object, "state", json_text(fates[layer->fate]));
	json_push(layers, object);
}

int transfers_check(const struct cmd *cmd, const char *reference)
{
	if (strcmp(reference, "-") == 0)
		return message_usage(cmd, "a reference is missing: HOST/NAME:TAG");
	return LMODEL_OK;
}
