"""What Chinese and Japanese write in two ways, written in one."""
