"""Up and down SQL files, applied once, with short locks."""
