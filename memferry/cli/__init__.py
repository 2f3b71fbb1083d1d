"""The command line: arguments in, one result on stdout, everything else on stderr."""
