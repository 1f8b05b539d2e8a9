"""What other projects could take from this one, made from our own files; nothing here is installed."""
