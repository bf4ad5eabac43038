"""One module a command; `generator.main` parses the arguments."""
