"""DualHead-Net for MMAction2."""
