"""What can be asked of the house, whoever asks: the command line, a Python program, a server. Nothing here prints."""
