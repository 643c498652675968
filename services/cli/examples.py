"""Examples below the help of a command."""


def example(*commands: str) -> str:
    """Examples below a command's help."""
    lines = " \n\n".join(f"`gazeloop {command}`" for command in commands)
    return f"Example: {lines}" if len(commands) == 1 else f"Examples:\n\n{lines}"
