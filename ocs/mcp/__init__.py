"""The door for agents: a server of the Model Context Protocol over the same operations as the command line."""
