"""Students' answers on disk: our own answer files, and lm-eval's samples."""
