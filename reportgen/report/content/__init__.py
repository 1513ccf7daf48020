"""What each section says, as data; a file a section."""
