# The Python package, all that is in its folder. Installed where configure found Python.
EXTRA_DIST += %D%/build_backend.py %D%/lmodel %D%/pyproject.toml

install-python:
	@(cd $(srcdir)/%D% && find lmodel -name '*.py' -o -name py.typed) | while read -r file; do \
		$(MKDIR_P) "$(DESTDIR)$(pythondir)/$${file%/*}" && \
		$(INSTALL_DATA) "$(srcdir)/%D%/$$file" "$(DESTDIR)$(pythondir)/$$file" || exit 1; \
	done

uninstall-python:
	rm -rf "$(DESTDIR)$(pythondir)/lmodel"

# What the interpreter left behind is no part of a release.
dist-python:
	find "$(distdir)/%D%" -name __pycache__ -prune -exec rm -rf {} +

.PHONY: dist-python install-python uninstall-python
dist-hook: dist-python
if HAVE_PYTHON
install-data-local: install-python
uninstall-local: uninstall-python
endif
