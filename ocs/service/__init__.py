"""Operations, for every caller: the command line, a Python program, a server. Nothing here prints."""
