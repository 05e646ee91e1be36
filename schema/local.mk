# The schema becomes a C string, comments and all: sqlite keeps the text that it was given.
schema/manifest_sql.h: $(srcdir)/schema/manifest.sql
	$(AM_V_GEN)$(MKDIR_P) schema && { \
	echo '/* Made from schema/manifest.sql. */'; \
	echo 'static const char manifest_sql[] ='; \
	$(SED) -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' -e 's/.*/	"&\\n"/' $(srcdir)/schema/manifest.sql; \
	echo ';'; } > $@.tmp && mv $@.tmp $@
BUILT_SOURCES += schema/manifest_sql.h
CLEANFILES += schema/manifest_sql.h
EXTRA_DIST += schema/manifest.sql \
	schema/audit.schema.json \
	schema/diff.schema.json \
	schema/extract.schema.json \
	schema/grant.schema.json \
	schema/inspect.schema.json \
	schema/list.schema.json \
	schema/pack.schema.json \
	schema/positions.schema.json \
	schema/progress.schema.json \
	schema/pull.schema.json \
	schema/push.schema.json \
	schema/rekey.schema.json \
	schema/verify.schema.json
