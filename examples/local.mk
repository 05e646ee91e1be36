EXTRA_DIST += \
	%D%/README.md \
	%D%/advparams.py \
	%D%/check-eval.sh \
	%D%/deep_lock.py \
	%D%/gnubg-to-safetensors.py \
	%D%/keyed_inputs.py \
	%D%/language_model.py \
	%D%/lib/locker.py \
	%D%/lib/report.py \
	%D%/lib/trio.py \
	%D%/pss_dncnn.py \
	%D%/pss_vgg.py \
	%D%/quickstart.sh \
	%D%/registry/README.md \
	%D%/registry/npm_registry.py \
	%D%/registry/session.sh \
	%D%/results/advparams.json \
	%D%/results/advparams.png \
	%D%/results/deep_lock.json \
	%D%/results/deep_lock.png \
	%D%/results/keyed_inputs.json \
	%D%/results/keyed_inputs.png \
	%D%/results/language_model.json \
	%D%/results/language_model.png \
	%D%/results/pss_dncnn.json \
	%D%/results/pss_dncnn.png \
	%D%/results/pss_vgg.json \
	%D%/results/pss_vgg.png

# Every experiment, small: needs PyTorch, and minutes.
check-eval: all
	LMODEL='$(abs_top_builddir)/bin/lmodel' \
		LMODEL_LIBRARY='$(abs_top_builddir)/libfmt/.libs/liblmodel.so' \
		$(SHELL) $(top_srcdir)/%D%/check-eval.sh
.PHONY: check-eval
