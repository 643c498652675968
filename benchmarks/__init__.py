"""What things cost, measured with NumPy as the `gazeloop` command has it."""

import services.cli  # noqa: F401  # before NumPy
