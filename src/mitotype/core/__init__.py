"""What every room shares. Knows no other room."""
