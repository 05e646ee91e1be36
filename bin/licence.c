/* Licences by the first lines of LICENSE, and by the front matter of README.md: looked at for what
 * they are, texts by strangers. No more than the begin of a file is read, and what is shown is
 * escaped and cut. */
#include "licence.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <lmodel.h>

#include "inspect.h"
#include "message.h"
#include "text.h"

enum {
	HEAD = 16384,           /* of a file */
	SEALED_MOST = 1 << 20,  /* a sealed file is read whole for its head */
	WIDTH = 80, FILES = 8,
};

struct licence {
	const char *file;
	char *identifier, *text; /* escaped; NULL: not known */
};

struct card {
	const char *file;        /* NULL: none */
	char *title;             /* escaped; NULL: none */
};

struct found {
	struct licence licences[FILES];
	size_t count;
	struct card card;
};

/* ---- lines ---- */

/* The begin of a side file as text, up to a NUL; NULL when it is not open or cannot be read, which
 * is for verify to tell. */
static char *head_of(struct lmodel_archive *archive, const struct lmodel_attachment *a)
{
	size_t len = a->bytes < HEAD ? (size_t)a->bytes : HEAD;
	char *text;

	if (!a->open || (a->tier != NULL && a->bytes > SEALED_MOST))
		return NULL;
	text = calloc(len + 1, 1);
	if (text == NULL)
		message_no_memory();
	if (lmodel_attachment_read(archive, a, 0, text, len, NULL) != LMODEL_OK) {
		free(text);
		return NULL;
	}
	return text;
}

/* The next line, without blanks around it; NULL at the end. Changes the text. */
static char *next_line(char **rest)
{
	char *line = strsep(rest, "\n"), *end;

	if (line == NULL)
		return NULL;
	line += strspn(line, " \t\r\f\v");
	end = line + strlen(line);
	while (end > line && strchr(" \t\r\f\v", end[-1]) != NULL)
		*--end = '\0';
	return line;
}

/* The value of "key: value" in YAML, as far as people write it; NULL: another line. */
static char *value_of(char *line, const char *key)
{
	size_t n = strlen(key), len;
	char *value;

	if (strncasecmp(line, key, n) != 0 || line[n] != ':')
		return NULL;
	value = line + n + 1;
	value += strspn(value, " \t");
	len = strlen(value);
	if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
		value[len - 1] = '\0';
		value++;
	}
	return value[0] != '\0' ? value : NULL;
}

/* ---- files ---- */

static void add(struct found *f, const char *file, const char *identifier, const char *text)
{
	if (f->count == FILES)
		return;
	f->licences[f->count++] = (struct licence){
		.file = file,
		.identifier = identifier != NULL ? text_cut(identifier, WIDTH) : NULL,
		.text = text != NULL ? text_cut(text, WIDTH) : NULL,
	};
}

/* Its first two lines that say something: a licence's name is often on two. */
static void read_licence(struct found *f, const char *file, char *text)
{
	static const char tag[] = "SPDX-License-Identifier:";
	const char *first = NULL, *second = NULL, *identifier = NULL;
	char *rest = text, *line, *both;

	while ((line = next_line(&rest)) != NULL) {
		char *at = strstr(line, tag);

		if (at != NULL && identifier == NULL) {
			identifier = at + strlen(tag);
			identifier += strspn(identifier, " \t");
		} else if (line[strspn(line, "#*/-=_ ")] != '\0' && second == NULL) {
			*(first == NULL ? &first : &second) = line;
		}
	}
	both = text_format("%s%s%s", first != NULL ? first : "", second != NULL ? ", " : "",
			   second != NULL ? second : "");
	add(f, file, identifier, both[0] != '\0' ? both : NULL);
	free(both);
}

/* The front matter of a model card on Hugging Face, then its title. */
static void read_card(struct found *f, const char *file, char *text)
{
	const char *licence = NULL, *name = NULL, *title = NULL;
	char *rest = text, *line = next_line(&rest), *value;

	if (line != NULL && strcmp(line, "---") == 0) {
		while ((line = next_line(&rest)) != NULL && strcmp(line, "---") != 0) {
			value = value_of(line, "license");
			licence = licence == NULL ? value : licence;
			value = value_of(line, "license_name");
			name = name == NULL ? value : name;
		}
		line = next_line(&rest);
	}
	for (; line != NULL && title == NULL; line = next_line(&rest))
		if (line[strspn(line, "# ")] != '\0')
			title = line + strspn(line, "# ");
	if (licence != NULL && strcasecmp(licence, "other") == 0 && name != NULL)
		licence = name;
	if (licence != NULL)
		add(f, file, licence, NULL);
	f->card = (struct card){ .file = file,
				 .title = title != NULL ? text_cut(title, WIDTH) : NULL };
}

static void find(struct lmodel_archive *archive, struct found *f)
{
	const struct lmodel_attachment *a;

	*f = (struct found){ .count = 0 };
	for (size_t i = 0; (a = lmodel_attachment_at(archive, i)) != NULL; i++) {
		bool card = f->card.file == NULL && strcasecmp(a->name, "README.md") == 0;
		char *text;

		if ((!card && !licence_is_file(a->name)) || f->count == FILES)
			continue;
		text = head_of(archive, a);
		if (text != NULL && card)
			read_card(f, a->name, text);
		else if (text != NULL)
			read_licence(f, a->name, text);
		else if (!card)
			add(f, a->name, NULL, NULL);
		free(text);
	}
}

static void release(struct found *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->licences[i].identifier);
		free(f->licences[i].text);
	}
	free(f->card.title);
}

bool licence_is_file(const char *name)
{
	const char *base = text_base(name);

	return strncasecmp(base, "license", 7) == 0 || strncasecmp(base, "licence", 7) == 0 ||
	       strncasecmp(base, "copying", 7) == 0;
}

/* ---- showing ---- */

void licence_print(struct lmodel_archive *archive)
{
	struct found f;

	find(archive, &f);
	for (size_t i = 0; i < f.count; i++) {
		const struct licence *l = &f.licences[i];
		char *file = text_cut(l->file, WIDTH / 2);

		inspect_line(i > 0 ? "" : "licence", "%s%s%s (%s)",
			     l->identifier != NULL ? l->identifier : "",
			     l->identifier != NULL && l->text != NULL ? ": " : "",
			     l->text != NULL	     ? l->text :
			     l->identifier != NULL ? "" : "not shown", file);
		free(file);
	}
	if (f.card.file != NULL) {
		char *file = text_cut(f.card.file, WIDTH / 2);

		inspect_line("model card", "%s%s%s", file, f.card.title != NULL ? ": " : "",
			     f.card.title != NULL ? f.card.title : "");
		free(file);
	}
	release(&f);
}

json_t *licence_json(struct lmodel_archive *archive)
{
	json_t *array = json_array();
	struct found f;

	find(archive, &f);
	for (size_t i = 0; i < f.count; i++) {
		json_t *object = json_object();

		json_put(object, "file", json_text(f.licences[i].file));
		json_put(object, "identifier", json_text(f.licences[i].identifier));
		json_put(object, "text", json_text(f.licences[i].text));
		json_push(array, object);
	}
	release(&f);
	return array;
}

json_t *licence_card_json(struct lmodel_archive *archive)
{
	json_t *object = json_null();
	struct found f;

	find(archive, &f);
	if (f.card.file != NULL) {
		object = json_object();
		json_put(object, "file", json_text(f.card.file));
		json_put(object, "title", json_text(f.card.title));
	}
	release(&f);
	return object;
}
