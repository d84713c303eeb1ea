"""What commands and recipes share on the command line."""
