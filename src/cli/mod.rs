//! The command line: arguments in, the same words as the console out.
