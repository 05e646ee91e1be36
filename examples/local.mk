EXTRA_DIST += \
	%D%/gnubg-to-safetensors.py \
	%D%/quickstart.sh
