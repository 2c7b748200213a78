"""Operations, and what `import ocs` offers."""
