"""How pixels are stored in fewer bytes: codecs by name, and what they may change."""
