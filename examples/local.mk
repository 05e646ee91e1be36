EXTRA_DIST += \
	%D%/gnubg-to-safetensors.py \
	%D%/keyed_inputs.py \
	%D%/quickstart.sh
