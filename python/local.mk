# The Python package. Installed where configure found Python; distributed in any case.
lm_python = \
	%D%/lmodel/__init__.py \
	%D%/lmodel/_abi.py \
	%D%/lmodel/_arrays.py \
	%D%/lmodel/_files.py \
	%D%/lmodel/_keyring.py \
	%D%/lmodel/_library.py \
	%D%/lmodel/_protect.py \
	%D%/lmodel/_torch.py \
	%D%/lmodel/archive.py \
	%D%/lmodel/dtypes.py \
	%D%/lmodel/errors.py \
	%D%/lmodel/loading.py \
	%D%/lmodel/managing.py \
	%D%/lmodel/numpy.py \
	%D%/lmodel/packing.py \
	%D%/lmodel/py.typed \
	%D%/lmodel/reports.py \
	%D%/lmodel/safetensors.py \
	%D%/lmodel/slices.py \
	%D%/lmodel/torch.py \
	%D%/lmodel/views.py

if HAVE_PYTHON
lmodelpydir = $(pythondir)/lmodel
lmodelpy_DATA = $(lm_python)
endif
EXTRA_DIST += $(lm_python) %D%/build_backend.py %D%/pyproject.toml
