# The format, and the script that makes the example from the built program.
dist_doc_DATA += %D%/lmodel-format.md %D%/worked-example.md
EXTRA_DIST += %D%/make-example.py

# tests/meta/documents.sh holds these against the code too.
EXTRA_DIST += README.md NEWS.md HACKING.md SECURITY.md
