"""The rules that no single value can break: inside a block, between blocks, with files and environment as they are."""
