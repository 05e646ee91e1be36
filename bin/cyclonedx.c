/* A CycloneDX 1.6 bill of materials: the model as one component of type machine-learning-model,
 * with what protects it as properties. Nothing in it comes from a value that is hidden. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <lmodel.h>

#include "audit.h"
#include "licence.h"
#include "message.h"
#include "text.h"

static void put_property(json_t *properties, const char *name, char *value)
{
	json_t *object = json_object();
	char *full = text_format("lmodel:%s", name);

	json_put(object, "name", json_text(full));
	json_put(object, "value", json_text(value));
	json_push(properties, object);
	free(full);
	free(value);
}

static void put_tier(json_t *properties, const struct lmodel_audit_tier *t)
{
	const struct lmodel_detection *d = &t->detection;
	const struct {
		const char *name;
		char *value;
	} all[] = {
		{ "amount", text_format("%s", t->tier->amount) },
		{ "select", text_format("%s", t->tier->select) },
		{ "mask", text_format("%s", t->tier->mask) },
		{ "unit", text_format("%s", t->tier->unit) },
		{ "scope", text_format("%s", t->tier->scope) },
		{ "generation", text_format("%llu", t->tier->generation) },
		{ "tensors", text_format("%zu", t->tier->tensor_count) },
		{ "stored_bytes", text_format("%llu", t->tier->stored_bytes) },
		{ "absent", text_format("%s", t->tier->absent ? "true" : "false") },
		{ "recoverable", text_format("%s", t->recoverable ? "true" : "false") },
		{ t->exact ? "elements" : "elements_at_most",
		  text_format("%" PRIu64, t->elements) },
		{ t->exact ? "bytes" : "bytes_at_most", text_format("%" PRIu64, t->bytes) },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char *name = text_format("tier:%s:%s", t->tier->name, all[i].name);

		put_property(properties, name, all[i].value);
		free(name);
	}
	if (d->tensors > 0) {
		char *name = text_format("tier:%s:detection_auc", t->tier->name);

		put_property(properties, name, text_format("%.3f", d->mean));
		free(name);
	}
}

/* Without its last ending, as a model is called. */
static char *model_name(const char *path)
{
	const char *base = strcmp(path, "-") == 0 ? "model" : text_base(path);
	size_t n = strlen(base);

	if (n > 7 && text_ends(base, ".lmodel"))
		n -= 7;
	return text_format("%.*s", (int)n, base);
}

/* The model's own metadata may name its licence; a licence's file is named, not read. */
static void put_licence(json_t *component, json_t *properties, const struct lmodel_archive *archive)
{
	const struct lmodel_attachment *a;
	const struct lmodel_metadata *m;

	for (size_t i = 0; (m = lmodel_metadata_at(archive, i)) != NULL; i++) {
		json_t *licences, *licence, *item;

		if (strcasecmp(m->key, "license") != 0 && strcasecmp(m->key, "licence") != 0 &&
		    strcasecmp(m->key, "general.license") != 0)
			continue;
		licences = json_array();
		licence = json_object();
		item = json_object();
		json_put(licence, "name", json_text(m->value));
		json_put(item, "license", licence);
		json_push(licences, item);
		json_put(component, "licenses", licences);
		break;
	}
	for (size_t i = 0; (a = lmodel_attachment_at(archive, i)) != NULL; i++) {
		if (licence_is_file(a->name))
			put_property(properties, "licence_file", text_format("%s", a->name));
	}
}

/* Of a side file that is encrypted, what everybody sees of it. */
static void put_sealed(json_t *properties, const struct lmodel_archive *archive)
{
	const struct lmodel_attachment *a;

	for (size_t i = 0; (a = lmodel_attachment_at(archive, i)) != NULL; i++) {
		char *name;

		if (a->tier == NULL)
			continue;
		name = text_format("tier:%s:attachment", a->tier);
		put_property(properties, name, text_format("%s", a->name));
		free(name);
		name = text_format("tier:%s:attachment_bytes%s", a->tier,
				   a->open ? "" : "_at_most");
		put_property(properties, name, text_format("%" PRIu64, a->bytes));
		free(name);
	}
}

static json_t *model_card(const struct lmodel_audit_report *r)
{
	json_t *card = json_object(), *considerations = json_object(), *limits = json_array();
	char *text;

	if (r->tier_count == 0 || (r->exact && r->elements == 0)) {
		text = text_format("No parameter is encrypted.");
	} else {
		text = text_format("%s%" PRIu64 " of %" PRIu64 " parameters are encrypted; without "
				   "a key stand-ins are in their place, and the model is degraded.",
				   r->exact ? "" : "At most ", r->elements, r->all_elements);
	}
	json_push(limits, json_text(text));
	for (size_t i = 0; i < r->tier_count; i++) {
		if (!r->tiers[i].recoverable)
			continue;
		free(text);
		text = text_format("%s%" PRIu64 " parameters of tier %s are obfuscated only, "
				   "recoverable without a key; they count as public.",
				   r->tiers[i].exact ? "" : "At most ", r->tiers[i].elements,
				   r->tiers[i].tier->name);
		json_push(limits, json_text(text));
	}
	json_put(considerations, "technicalLimitations", limits);
	json_put(card, "considerations", considerations);
	free(text);
	return card;
}

static json_t *model(const struct lmodel_archive *archive, const char *path,
		     const struct lmodel_audit_report *r)
{
	json_t *component = json_object(), *hashes = json_array(), *hash = json_object();
	json_t *properties = json_array();
	char *name = model_name(path), *version;
	struct lmodel_info info;

	lmodel_info(archive, &info);
	version = text_format("%" PRIu64, info.content_generation);
	json_put(hash, "alg", json_text("SHA-256"));
	json_put(hash, "content", json_text(info.content_root));
	json_push(hashes, hash);
	put_property(properties, "archive_id", text_format("%s", info.id));
	put_property(properties, "hash", text_format("of the content root, not of the file"));
	put_property(properties, "format_version", text_format("%" PRIu32, info.format_version));
	put_property(properties, "parameters", text_format("%" PRIu64, r->all_elements));
	put_property(properties, "tensors", text_format("%zu", info.tensor_count));
	put_property(properties, r->exact ? "hidden_parameters" : "hidden_parameters_at_most",
		     text_format("%" PRIu64, r->elements));
	put_property(properties, "signatures",
		     text_format("%zu", lmodel_signature_count(archive)));
	for (size_t i = 0; i < r->tier_count; i++)
		put_tier(properties, &r->tiers[i]);
	put_sealed(properties, archive);
	json_put(component, "type", json_text("machine-learning-model"));
	json_put(component, "bom-ref", json_text(info.id));
	json_put(component, "name", json_text(name));
	json_put(component, "version", json_text(version));
	json_put(component, "hashes", hashes);
	put_licence(component, properties, archive);
	json_put(component, "modelCard", model_card(r));
	json_put(component, "properties", properties);
	free(version);
	free(name);
	return component;
}

static json_t *tools(void)
{
	json_t *tool = json_object(), *list = json_array(), *all = json_object();

	json_put(tool, "type", json_text("application"));
	json_put(tool, "name", json_text("lmodel"));
	json_put(tool, "version", json_text(lmodel_version()));
	json_push(list, tool);
	json_put(all, "components", list);
	return all;
}

static json_t *timestamp(void)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	uint64_t seconds;
	char text[32];
	struct tm tm;
	time_t t = time(NULL);

	if (epoch != NULL && text_parse_count(epoch, &seconds) && seconds < UINT64_C(1) << 37)
		t = (time_t)seconds;
	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_text("1970-01-01T00:00:00Z");
	return json_text(text);
}

static char *document(const struct lmodel_archive *archive, const char *path,
		      const struct lmodel_audit_report *r)
{
	json_t *d = json_object(), *metadata = json_object();
	struct lmodel_info info;
	char *serial, *text;

	lmodel_info(archive, &info);
	serial = text_format("urn:uuid:%s", info.id);
	json_put(metadata, "timestamp", timestamp());
	json_put(metadata, "tools", tools());
	json_put(metadata, "component", model(archive, path, r));
	json_put(d, "$schema", json_text("http://cyclonedx.org/schema/bom-1.6.schema.json"));
	json_put(d, "bomFormat", json_text("CycloneDX"));
	json_put(d, "specVersion", json_text("1.6"));
	json_put(d, "serialNumber", json_text(serial));
	json_put(d, "version",
		 json_number(info.content_generation + (info.content_generation == 0)));
	json_put(d, "metadata", metadata);
	text = json_dumps(d, JSON_INDENT(2));
	if (text == NULL)
		message_no_memory();
	json_decref(d);
	free(serial);
	return text;
}

/* ---- the file: whole, or not at all ---- */

static int failed(const char *to)
{
	message_error("%s: %s", TEXT_QUOTE(to), strerror(errno));
	return LMODEL_EFAILED;
}

static bool write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd) == 0;
}

static int publish(const char *to, const char *text, bool force)
{
	char *temporary = text_format("%.*s.lmodel-XXXXXX", (int)(text_base(to) - to), to);
	mode_t mask = umask(0);
	int fd = mkstemp(temporary), r = LMODEL_OK;

	umask(mask);
	if (fd < 0) {
		r = failed(to);
	} else {
		/* link() does not take the place of a file that is there. */
		bool good = fchmod(fd, 0666 & ~mask) == 0 && write_all(fd, text, strlen(text)) &&
			    write_all(fd, "\n", 1) &&
			    (force ? rename(temporary, to) : link(temporary, to)) == 0;

		if (!good)
			r = failed(to);
		if (!good || !force)
			unlink(temporary);
		close(fd);
	}
	free(temporary);
	return r;
}

int audit_cyclonedx(const struct lmodel_archive *archive, const char *path,
		    const struct lmodel_audit_report *report, const char *to, bool force)
{
	char *text = document(archive, path, report);
	int r = LMODEL_OK;

	if (strcmp(to, "-") == 0)
		puts(text);
	else
		r = publish(to, text, force);
	free(text);
	return r;
}
