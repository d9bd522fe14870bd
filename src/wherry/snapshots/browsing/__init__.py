"""Looking into a stack of layers without mounting it: `MergedTree`, over what a driver's layers are
(`images`: EROFS; `unpacked`: directories)."""
