"""The screens of the window, one file each; a new file is a new entry in the navigation."""
