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

lm_python_protect = \
	%D%/lmodel/protect/__init__.py \
	%D%/lmodel/protect/__main__.py \
	%D%/lmodel/protect/advparams.py \
	%D%/lmodel/protect/architectures.py \
	%D%/lmodel/protect/attacks.py \
	%D%/lmodel/protect/batchnorm.py \
	%D%/lmodel/protect/boosting.py \
	%D%/lmodel/protect/data.py \
	%D%/lmodel/protect/deeplock.py \
	%D%/lmodel/protect/detect.py \
	%D%/lmodel/protect/evaluate.py \
	%D%/lmodel/protect/features.py \
	%D%/lmodel/protect/fisher.py \
	%D%/lmodel/protect/gates.py \
	%D%/lmodel/protect/levels.py \
	%D%/lmodel/protect/loo.py \
	%D%/lmodel/protect/madeup.py \
	%D%/lmodel/protect/nets.py \
	%D%/lmodel/protect/panel.py \
	%D%/lmodel/protect/perturb.py \
	%D%/lmodel/protect/progress.py \
	%D%/lmodel/protect/pss.py \
	%D%/lmodel/protect/quality.py \
	%D%/lmodel/protect/samples.py \
	%D%/lmodel/protect/scores.py \
	%D%/lmodel/protect/training.py \
	%D%/lmodel/protect/wanda.py \
	%D%/lmodel/protect/wrongkey.py

if HAVE_PYTHON
lmodelpydir = $(pythondir)/lmodel
lmodelpy_DATA = $(lm_python)
lmodelprotectdir = $(lmodelpydir)/protect
lmodelprotect_DATA = $(lm_python_protect)
endif
EXTRA_DIST += $(lm_python) $(lm_python_protect) %D%/build_backend.py %D%/pyproject.toml
