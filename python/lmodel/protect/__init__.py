"""Which parameters to protect, found out with a framework; the packing itself is `lmodel pack`.

Each method is a module of this package with `NAME`, `SUMMARY`, `add_arguments()` and `run()`;
`python3 -m lmodel.protect` lists them.
"""
