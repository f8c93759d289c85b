"""Writers of tiny corpora, one for each data set: `write(folder)` lays out the files and says what they hold."""
