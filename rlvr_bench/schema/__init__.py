"""What things are: frozen types of every file that the program reads or writes."""
